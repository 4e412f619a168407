#!/usr/bin/env python3
"""Record which names the Python bindings of several TensorRT releases have, in test/golden/tensorrt_api.json.

    python3 scripts/tensorrt_api.py [VERSION ...]

TensorRT itself is not on PyPI, its bindings are. They load where nine functions of the real libraries exist, so this
compiles libraries that have only these, imports the bindings, and lists classes and their members. Needs cc, nm and
readelf. `test/runtime/test_tensorrt_api.py` compares our code with the record.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSIONS = ("10.3.0", "10.16.1.11", "11.4.0.106")
OUT = Path(__file__).resolve().parents[1] / "test" / "golden" / "tensorrt_api.json"
LIST = """
import json, tensorrt_bindings.tensorrt as trt
def members(c):
    return sorted(m for m in dir(c) if not m.startswith("_") and m not in dir(int))
print(json.dumps({n: members(c) for n, c in vars(trt).items() if isinstance(c, type)}, sort_keys=True))
"""


def output(*command: str | Path, env: dict[str, str] | None = None) -> str:
    return subprocess.run(
        list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, env=env
    ).stdout


def api(version: str, folder: Path) -> dict[str, list[str]]:
    """Class -> members, of one release."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    subprocess.run([*pip, f"tensorrt-cu12-bindings=={version}"], check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    (module,) = folder.glob("tensorrt_bindings/tensorrt*.so")
    needed = re.findall(r"\[(libnv\w+\.so\.\d+)\]", output("readelf", "-d", module))
    undefined = re.findall(r" U (\w+)$", output("nm", "-D", "--undefined-only", module), re.MULTILINE)
    names = [n for n in undefined if re.match(r"create|get|init", n) and not n.startswith("_")]
    source = folder / "stub.c"
    source.write_text("".join(f"void* {name}(void) {{ return 0; }}\n" for name in names))
    for library in needed:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(folder / library), str(source)], check=True)
    # The package's own __init__ looks for the libraries' wheels; the extension module alone is enough.
    (folder / "tensorrt_bindings" / "__init__.py").write_text("")
    env = os.environ | {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    found: dict[str, list[str]] = json.loads(output(sys.executable, "-c", LIST, env=env))
    return found


def main() -> None:
    record = {}
    for version in sys.argv[1:] or VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            record[version] = api(version, Path(folder))
        print(f"{version}: {len(record[version])} classes")
    lines = (f"{json.dumps(v)}: {json.dumps(classes)}" for v, classes in record.items())
    OUT.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
