"""Tells setuptools the packages: `src` is installed as `tokenwire`, with every folder in it that
has an `__init__.py`. All else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=["tokenwire", *(f"tokenwire.{name}" for name in find_packages("src"))])
