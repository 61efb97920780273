"""The parameters of `llm_fault`."""

import pytest

from .mishaps import MISHAPS

__all__ = ["FAULTS"]

FAULTS = tuple(pytest.param(mishap, id=mishap.name) for mishap in MISHAPS)
"""For `pytest.mark.parametrize("llm_fault", FAULTS[:3])`: each with its name as id."""
