"""Without what training needs this folder is left out."""

from importlib.util import find_spec

MISSING = [name for name in ("torch", "safetensors", "accelerate", "tensorboard") if find_spec(name) is None]

if MISSING:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str | None:
    """One line at the top of the run."""
    needs = "requirements/model.txt, requirements/train.txt"
    return f"test/train is left out: no {', '.join(MISSING)} ({needs})" if MISSING else None
