"""Packages of npm, where node is there: each installed once, in the virtual environment."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

__all__ = ["needs_node", "npm_package", "run_script"]

needs_node = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None,
    reason="node and npm are not on this machine",
)


def npm_package(package: str, version: str) -> Path:
    """The folder in which a package is installed, in `node_modules`."""
    name = package.replace("@", "").replace("/", "-")
    home = Path(__file__).parents[1] / ".venv" / "npm" / f"{name}-{version}"
    if not home.exists():
        # Elsewhere first, as another test may be installing it, too.
        made = home.with_name(f"{home.name}-{os.getpid()}")
        options = ["--no-audit", "--no-fund", "--prefix", str(made)]
        install = ["npm", "install", *options, f"{package}@{version}"]
        subprocess.run(install, check=True, capture_output=True)
        try:
            made.rename(home)
        except OSError:
            shutil.rmtree(made)
    return home


def run_script(script: Path, home: Path, *arguments: str) -> Any:
    """What a script prints, as JSON; it may import what is installed in `home`."""
    there = home / script.name
    there.write_text(script.read_text())
    ran = subprocess.run(
        ["node", str(there), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
