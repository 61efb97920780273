"""The pytest plugin: a server for the tests of whatever speaks to a model.

    def test_summary(llm_server):
        llm_server.say("It is blue.")
        assert summarize("Why is the sky blue?") == "It is blue."

pytest loads this in every run where tokenwire is installed, so it imports nothing but pytest and
the light part of tokenwire: the rest when a test asks for the server. docs/testing.md explains it.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

    from .protocols.auth import AwsKey
    from .testing.llm.cassettes import Recorder
    from .testing.llm.mishaps import Mishap
    from .testing.llm.server import LlmServer

__all__ = ["llm_fault", "llm_server", "llm_server_session"]

_TEST = pytest.StashKey["LlmServer"]()
"""Of a test: its server."""
_SESSION = pytest.StashKey["LlmServer"]()
"""Of the configuration: the server of all tests, once there is one."""

_FAILED = pytest.StashKey[bool]()
"""Of a test: whether it, or a subtest, has failed."""

_RECORDED: "pytest.StashKey[tuple[Recorder, Path]]" = pytest.StashKey()
"""Of a test: what it records, and where."""

_BRIEF, _PATIENCE = 0.1, 1.0
"""Seconds to wait for responses that are not over: at the end of the test, and of its fixtures."""

_MARKERS = (
    "llm_server(strict=True): strict=False lets the test pass, whatever was queued or asked",
    "llm_faults(*names): run the test once for each fault, as the argument llm_fault; with names, "
    "for those",
    "llm_cassette(path=None, **how): llm_server answers out of this recording (by default of the "
    "test's own, in the folder cassettes beside it), or records it, as --tokenwire-record says",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tokenwire", "tests of programs that ask models")
    group.addoption(
        "--tokenwire-record",
        choices=("none", "once", "rewrite", "live"),
        default="none",
        help="of tests with a cassette: whether the services themselves are asked, with your keys: "
        "none: never; once: if there is no cassette, and it is recorded; rewrite: always, and it "
        "is recorded anew; live: always, and nothing is recorded",
    )
    group.addoption(
        "--tokenwire-cassettes",
        metavar="DIR",
        help="the folder of the cassettes (default: cassettes, beside each test module)",
    )
    group.addoption(
        "--tokenwire-timeline",
        metavar="DIR",
        help="write a page of HTML there for each test that fails: what the server sent, and when",
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("llm_faults")
    if marker is None or "llm_fault" not in metafunc.fixturenames:
        return
    from .testing.llm.faults import FAULTS

    known = {str(fault.id): fault for fault in FAULTS}
    unknown = [name for name in marker.args if name not in known]
    if unknown:
        raise pytest.UsageError(f"llm_faults: no fault {unknown[0]!r} (known: {', '.join(known)})")
    chosen = [known[name] for name in marker.args] if marker.args else FAULTS
    metafunc.parametrize("llm_fault", chosen)


@pytest.fixture
def llm_fault() -> "Mishap":
    """A fault, for `fails()`: the marker `llm_faults` runs the test with each."""
    raise pytest.UsageError("llm_fault: mark the test with @pytest.mark.llm_faults")


@pytest.fixture(scope="session")
def _llm_loop() -> "Iterator[BlockingPortal]":
    """The event loop, in a thread of its own, on which the servers of all tests run."""
    try:
        from anyio.from_thread import start_blocking_portal
    except ModuleNotFoundError:
        raise pytest.UsageError("llm_server needs: pip install tokenwire[pytest]") from None
    with start_blocking_portal("asyncio", name="llm_server") as portal:
        yield portal


@pytest.fixture
def llm_server(
    request: pytest.FixtureRequest, _llm_loop: "BlockingPortal"
) -> "Iterator[LlmServer]":
    """A server that answers as the test tells it to, in the format of each request. The environment
    leads the SDKs of all services to it."""
    marker = request.node.get_closest_marker("llm_cassette")
    key = _aws_key(request.config) if marker is not None else None
    with _running(_llm_loop, request.config) as server:
        if marker is not None:
            _play(server, request.node, marker, key)
        request.node.stash[_TEST] = server
        yield server
        if _is_strict(request.node):
            _refuse([f"{each!r} was left open" for each in server.settle(_PATIENCE)])


@pytest.fixture(scope="session")
def llm_server_session(
    request: pytest.FixtureRequest, _llm_loop: "BlockingPortal"
) -> "Iterator[LlmServer]":
    """The same server for all tests, which begins anew with each, for clients that are made
    once."""
    with _running(_llm_loop, request.config) as server:
        request.config.stash[_SESSION] = server
        yield server
        del request.config.stash[_SESSION]


@contextmanager
def _running(portal: "BlockingPortal", config: pytest.Config) -> "Generator[LlmServer]":
    """A server, and the environment that leads to it."""
    import os

    from .testing.llm.server import LlmServer

    with pytest.MonkeyPatch.context() as patch, LlmServer(portal, before=os.environ) as server:
        server.origin.keeps_wire = config.getoption("--tokenwire-timeline") is not None
        for name, value in server.env.items():
            patch.setenv(name, value)
        for name in server.unset:
            patch.delenv(name, raising=False)
        yield server


def _aws_key(config: pytest.Config) -> "AwsKey | None":
    """The real key for Bedrock, as long as the environment has it."""
    if config.getoption("--tokenwire-record") == "none":
        return None
    from .aws import aws_key

    return aws_key()


def _play(
    server: "LlmServer", node: pytest.Item, marker: pytest.Mark, aws: "AwsKey | None"
) -> None:
    """Let the server answer out of the cassette of a test, or record it."""
    how = dict(marker.kwargs)
    path = _cassette_path(node, how.pop("path", None) or next(iter(marker.args), None))
    mode = node.config.getoption("--tokenwire-record")
    expires = how.get("stale") == "record"
    if expires:
        how["stale"] = "warn"  # where it can't be recorded again
    if mode in ("rewrite", "live") or (
        mode == "once"
        and (not path.exists() or (expires and _is_too_old(path, how.get("max_age"))))
    ):
        recorder = server.record(aws)
        if mode != "live":
            node.stash[_RECORDED] = recorder, path
    elif path.exists():
        server.cassette(path, **how)
    else:
        pytest.fail(
            f"there is no cassette {path}: record it with\n"
            f"    pytest {node.nodeid!r} --tokenwire-record=once",
            pytrace=False,
        )


def _is_too_old(path: Path, max_age: str | None) -> bool:
    import time

    from .replay.age import too_old
    from .replay.cassette import load

    return max_age is not None and bool(too_old(load(path), max_age, time.time()))


def _cassette_path(node: pytest.Item, given: "str | PathLike[str] | None") -> Path:
    """Where the cassette of a test is."""
    folder = node.config.getoption("--tokenwire-cassettes")
    root = node.path.parent / "cassettes" if folder is None else node.config.rootpath / folder
    if given is not None:
        return root / given
    return root / node.path.stem / f"{_slug(node.nodeid.partition('::')[2])}.jsonl"


def _slug(name: str) -> str:
    """`name` as that of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


def pytest_runtest_setup(item: pytest.Item) -> None:
    server = item.config.stash.get(_SESSION, None)
    if server is not None:
        server.reset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    result = yield
    for server in _servers(item):
        if _is_strict(item):
            server.settle(_BRIEF)
            _refuse(server.complaints())
    if (recorded := item.stash.get(_RECORDED, None)) is not None:
        recorder, path = recorded
        recorder.save(path)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    page = _page(item)
    where = "" if page is None else f"\ntimeline: {page}"
    if report.failed:
        item.stash[_FAILED] = True
        for server in _servers(item):
            report.sections.append(("llm server", server.section() + where))
    # Once at the end: a test may fail hundreds of times, in subtests.
    if call.when == "teardown" and item.stash.get(_FAILED, False):
        item.stash[_FAILED] = False
        if page is not None:
            _draw(item, page)
    return report


def _page(item: pytest.Item) -> Path | None:
    """Where the timeline of a test is written, if it fails; None: nowhere."""
    folder = item.config.getoption("--tokenwire-timeline")
    return None if folder is None else item.config.rootpath / folder / f"{_slug(item.nodeid)}.html"


def _draw(item: pytest.Item, page: Path) -> None:
    for server in _servers(item):
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(server.timeline(), encoding="utf-8")


def _servers(item: pytest.Item) -> "list[LlmServer]":
    """Those that the test may have used."""
    found = item.stash.get(_TEST, None), item.config.stash.get(_SESSION, None)
    return [server for server in found if server is not None]


def _is_strict(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("llm_server")
    return marker is None or bool(marker.kwargs.get("strict", True))


def _refuse(complaints: list[str]) -> None:
    if complaints:
        lines = "".join(f"\n- {line}" for line in complaints)
        pytest.fail(f"the llm server:{lines}", pytrace=False)
