"""Fixtures of the model room (see test/support/model_golden.py); without torch this folder is left out."""

from importlib.util import find_spec

MISSING = [name for name in ("torch", "safetensors") if find_spec(name) is None]

if MISSING:
    collect_ignore_glob = ["test_*.py"]
else:
    from model_golden import close, golden, golden_folder, shell, tiny  # noqa: F401


def pytest_report_header() -> str | None:
    """One line at the top of the run."""
    return f"test/model is left out: no {', '.join(MISSING)} (requirements/model.txt)" if MISSING else None
