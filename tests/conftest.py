"""Every run is the same run: hypothesis draws from a fixed seed and keeps no database, and the
developer's own keys are not there.

`--quick` (`make quick`) leaves out what takes long: see `CROSSWISE`.
"""

import os
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import tokenwire

# Hypothesis draws constants from the modules that are loaded: so all are, before the first test.
for module in pkgutil.walk_packages(tokenwire.__path__, "tokenwire."):
    if module.name != "tokenwire.__main__":  # it runs the command
        import_module(module.name)

# Before any test module is imported: some of them copy the environment.
for provider in tokenwire.PROVIDERS.values():
    for variable in (*provider.env, *provider.base_env, *provider.params.values()):
        os.environ.pop(variable, None)
os.environ.pop("TOKENWIRE_KEY", None)

settings.register_profile(
    "tokenwire",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(  # `make search`: many more examples, and others each time
    "search",
    deadline=None,
    database=None,
    max_examples=5000,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile("quick", settings.get_profile("tokenwire"), max_examples=10)
settings.load_profile("tokenwire")

CROSSWISE = {
    "test_benchmarks",
    "test_cancellation",  # each transport at each point of an answer
    "test_differential",
    "test_differential_http",
    "test_differential_sse",
    "test_docs",
    "test_fuzzing",
    "test_growth",
    "test_matrix",  # each transport and each fault
    "test_package",  # the wheel
    "test_security",
    "test_soak",
    "testing/test_dialect",  # each check and a format that fails it: needs many examples
}
"""Test modules that `--quick` leaves out, by the end of their path: they try many modules with each
other, or against others. Each module's own tests stay."""

VARIANTS = ("uvloop", "anyio on trio", "httpx2")
"""Of the tests that run on each transport, `--quick` leaves out those on a library that takes the
same path through our code as another one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="each module's own tests, and few more")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    path = collection_path.with_suffix("").as_posix()
    if config.getoption("--quick") and path.endswith(tuple(f"/{name}" for name in CROSSWISE)):
        return True
    return None  # let others say


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    left_out = [item for item in items if any(variant in item.name for variant in VARIANTS)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
