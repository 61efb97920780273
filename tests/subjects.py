"""All subjects, one or more a format: each from the `subject.py` in the format's folder of tests.

They are the one place where the tests of all formats learn of one.
"""

from importlib import import_module
from pathlib import Path

from tokenwire.testing import Subject

__all__ = ["SUBJECTS"]


def _all() -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for path in sorted((Path(__file__).parent / "formats").glob("*/subject.py")):
        found |= import_module(f"tests.formats.{path.parent.name}.subject").SUBJECTS
    return found


SUBJECTS = _all()
