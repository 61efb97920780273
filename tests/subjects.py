"""All subjects, one or more a format: each from the `subject.py` in the format's folder of tests.

They are the one place where the tests of all formats learn of one.
"""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import tokenwire
from tokenwire.testing import Subject

__all__ = ["EACH_FORMAT", "FORMATS", "SUBJECTS", "formats_without_subject"]

FORMATS = Path(tokenwire.__file__).parent / "protocols" / "formats"
"""The folder of all formats."""


def _all() -> dict[str, Subject]:
    found: dict[str, Subject] = {}
    for path in sorted((Path(__file__).parent / "formats").glob("*/subject.py")):
        found |= import_module(f"tests.formats.{path.parent.name}.subject").SUBJECTS
    return found


SUBJECTS = _all()

EACH_FORMAT = tuple({subject.provider.name: None for subject in SUBJECTS.values()})
"""Names of providers, at least one of each format: what is tried with all formats needs no more."""


def formats_without_subject(folder: Path, subjects: Iterable[Subject]) -> set[str]:
    """The formats whose folder is in `folder`, or in a group there, and which no subject is of."""
    packages = {path.parent for path in folder.rglob("__init__.py")} - {folder}
    groups = {package.parent for package in packages}
    found = {".".join(package.relative_to(folder).parts) for package in packages - groups}
    dialects = {type(subject.provider.dialect).__module__ for subject in subjects}
    return {name for name in found if not any(f"formats.{name}." in f"{d}." for d in dialects)}
