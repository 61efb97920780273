"""What holds for each format: `tokenwire.testing.check_dialect`, check by check.

`pytest --hypothesis-profile=search tests/test_properties.py` looks much longer, and elsewhere each
time.
"""

import pytest

from tests.subjects import SUBJECTS
from tokenwire import PROVIDERS
from tokenwire.testing import CHECKS


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("check", CHECKS)
def test_each_format(check: str, name: str) -> None:
    CHECKS[check](SUBJECTS[name])


def test_each_provider_has_a_subject() -> None:
    """Or one of the same format has."""
    covered = {subject.provider.dialect.name for subject in SUBJECTS.values()}
    assert covered == {provider.dialect.name for provider in PROVIDERS.values()}
