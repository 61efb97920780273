"""Every run is the same run: hypothesis draws from a fixed seed and keeps no database, and the
developer's own keys are not there.

`--quick` (`make quick`) leaves out what takes long: see `CROSSWISE`.
"""

import gc
import os
import pkgutil
import sys
import threading
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings

import tokenwire

pytest_plugins = ["tokenwire.pytest_plugin", "pytester"]
"""pyproject.toml says why the first is not loaded like others."""

# Hypothesis draws constants from the modules that are loaded: so all are, before the first test.
for module in pkgutil.walk_packages(tokenwire.__path__, "tokenwire."):
    # The first one runs the command; pytest wants to import its plugin itself.
    if module.name not in ("tokenwire.__main__", "tokenwire.pytest_plugin"):
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
    max_examples=50,
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
    "test_aimock",  # a server of others
    "test_batch_soak",
    "test_benchmarks",
    "test_cancellation",  # each transport at each point of an answer
    "test_corpus",  # recorded answers, split and truncated everywhere
    "test_differential",
    "test_differential_http",
    "test_differential_sse",
    "test_docs",
    "test_fuzzing",
    "test_growth",
    "test_matrix",  # each transport and each fault
    "test_package",  # the wheel
    "test_properties",  # each format
    "test_pytest_plugin",  # a pytest in each test
    "test_robustness",  # what hostile clients do to the embedded server
    "test_sdk",  # clients of others
    "test_sdks",
    "test_security",
    "test_soak",
    "test_tables",  # the seeds of each fuzzer
    "test_workers",  # processes that come and go
    "testing/test_dialect",  # each check and a format that fails it: needs many examples
    "testing/test_testing",
}
"""Test modules that `--quick` leaves out, by the end of their path: they try many modules with each
other, or against others. Each module's own tests stay, but those marked `crosswise`."""

UNMEASURED = {
    "test_corpus",
    "test_differential",
    "test_differential_http",
    "test_differential_sse",
    "test_growth",
    "test_matrix",
}
"""Test modules that run without coverage, with which they take three times as long: each line and
branch has a test beside them."""

VARIANTS = ("uvloop", " on trio", "httpx2")
"""Of the tests that run on each transport, `--quick` leaves out those on a library that takes the
same path through our code as another one."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="each module's own tests, and few more")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        settings.load_profile("quick")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.getoption("--quick") and _is_in(CROSSWISE, collection_path):
        return True
    return None  # let others say


def _is_in(modules: set[str], path: Path) -> bool:
    return path.with_suffix("").as_posix().endswith(tuple(f"/{name}" for name in modules))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        variant = any(variant in item.name for variant in VARIANTS)
        (left_out if variant or item.get_closest_marker("crosswise") else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_collection_finish() -> None:
    """What is loaded now stays: not to look through it makes each collection ten times as fast."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Without the tracer of coverage where it is not wanted. The mark of pytest-cov does not help:
    in a process of pytest-xdist there are two."""
    if not _is_in(UNMEASURED, item.path):
        return (yield)
    trace, threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(cast("Any", None))
    try:
        return (yield)
    finally:
        sys.settrace(trace)
        threading.settrace(cast("Any", threads))
