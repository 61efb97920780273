"""The plugin, in runs of pytest of its own."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import msgspec
import pytest

from tests.testing.llm.plain import ask
from tokenwire.replay.cassette import load, save
from tokenwire.server import serve
from tokenwire.testing import LlmServer

HELPERS = """
    import pytest, tokenwire
    from tests.testing.llm.plain import ask

    def summarize(question):
        with tokenwire.transports.sync.Client(retry=tokenwire.NO_RETRY) as client:
            return tokenwire.ask("openai", question, model="m", client=client).text

    import tokenwire.transports.sync
"""


class Runner:
    """Runs tests in this process."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")

    def __call__(self, code: str, *options: str) -> pytest.RunResult:
        self.pytester.makepyfile(HELPERS + code)
        return self.pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", "-p", "no:randomly", *options
        )


@pytest.fixture
def run(pytester: pytest.Pytester) -> Runner:
    return Runner(pytester)


def test_what_must_not_be_fails_the_test(run: Runner) -> None:
    result = run("""
    def test_unasked(llm_server):
        llm_server.say("first")
        llm_server.say("second").times(3)
        summarize("?"), summarize("?")

    def test_unexpected(llm_server):
        llm_server.when(text="Rome").say("Sunny.")
        llm_server.say("x")
        summarize("a")
        with pytest.raises(tokenwire.Refused, match="queued no answer.*when.text='Rome'"):
            summarize("b")
        summarize("Rome?")

    def test_unknown(llm_server):
        assert ask(llm_server, path="/nothing").status == 404
        assert ask(llm_server, {"model": 7}).status == 400

    def test_raises(llm_server):
        def broken(chat):
            raise ValueError("no idea")
        llm_server.answer(broken)
        with pytest.raises(tokenwire.Refused):
            summarize("?")

    @pytest.mark.llm_server(strict=False)
    def test_lenient(llm_server):
        llm_server.say("never")
    """)
    result.assert_outcomes(passed=1, failed=4)
    result.stdout.fnmatch_lines(
        [
            "the llm server:",
            "- answer 2, say('second'), was asked for 1 of 3 times",
            "- <request 2: openai POST /v1/chat/completions 'b', *>: no answer was queued for it",
            "- <request 1: openai POST /nothing, *>: it was refused: there is nothing at /nothing",
            "- <request 2: openai POST *, *>: it was refused: *",
            "- <request 1: *>: answer(broken) raised ValueError('no idea') (*.py:*)",
        ]
    )


def test_a_stream_that_is_left_open_is_an_error(run: Runner) -> None:
    result = run("""
    import socket

    @pytest.fixture
    def client(request):  # set up before the server, and closed after it
        with socket.socket() as client:
            yield client

    def test_open(client, llm_server):
        llm_server.say("x").stalls()
        client.connect(("127.0.0.1", int(llm_server.url.rpartition(":")[2])))
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\\r\\nhost: localhost\\r\\n"
            b"content-type: application/json\\r\\ncontent-length: 76\\r\\n\\r\\n"
            b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hello !"}]}')
        assert client.recv(10)
    """)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["- <request 1: *, stalled after * bytes> was left open"])


def test_a_failure_shows_what_happened_and_no_key(run: Runner) -> None:
    result = run("""
    def test_fails(llm_server):
        llm_server.say("It is blue.").times(60)
        llm_server.say("later")
        for _ in range(60):
            tokenwire.ask("openai", "Why? " * 99, model="m", key="sk-real" + "-key")
        assert 0

    def test_passes(llm_server):
        llm_server.say("fine")
        summarize("?")
    """)
    result.assert_outcomes(passed=1, failed=1)
    lines = result.outlines
    start = next(at for at, line in enumerate(lines) if "- llm server -" in line)
    section = lines[start + 1 : next(a for a, t in enumerate(lines) if "short test" in t)]
    assert section[0] == "..."
    assert section[1].startswith("<request 49: openai POST /v1/chat/completions 'Why? ")
    assert section[-3:] == [
        "still queued: say('later')",
        "request 60 asks:",
        f"    user: {('Why? ' * 99)[:200]}...",
    ]
    assert len("\n".join(section)) <= 2048
    assert "sk-real-key" not in "\n".join(lines)


def test_a_run_without_it_shows_nothing_of_it(run: Runner) -> None:
    result = run("""
    def test_passes():
        pass
    """)
    result.assert_outcomes(passed=1)
    assert "llm" not in result.stdout.str()
    helped = run("", "--help").stdout.str()
    for option in ("--tokenwire-record=", "--tokenwire-cassettes=", "--tokenwire-timeline="):
        assert helped.count(option) == 1
    assert "@pytest.mark.llm_faults(*names)" in run("", "--markers").stdout.str()


def test_faults(run: Runner) -> None:
    result = run(
        """
    @pytest.mark.llm_faults
    def test_never_half(llm_server, llm_fault):
        llm_server.say("It is blue.").fails(llm_fault)
        if str(llm_fault) == "stalled":
            assert ask(llm_server, patience=0.05).end == "open"
            return
        with pytest.raises(tokenwire.TokenwireError):
            summarize("Why?")

    @pytest.mark.llm_faults("reset", "html")
    def test_two(llm_fault):
        pass

    @pytest.mark.llm_faults
    def test_without_asking_for_it():
        pass

    def test_unmarked(llm_fault):
        pass
    """,
        "-v",
    )
    result.assert_outcomes(passed=14, errors=1)
    result.stdout.fnmatch_lines(["*test_never_half[[]ended] PASSED*", "*test_two[[]reset] PASSED*"])
    result.stdout.fnmatch_lines(["*mark the test with @pytest.mark.llm_faults*"])
    result = run("""
    @pytest.mark.llm_faults("no")
    def test_a(llm_fault):
        pass
    """)
    result.stdout.fnmatch_lines(["*llm_faults: no fault 'no' (known: ended, closed,*"])


def test_one_server_for_the_session(run: Runner) -> None:
    result = run("""
    addresses = []

    @pytest.mark.parametrize("number", range(2))
    def test_one(llm_server_session, number):
        llm_server_session.say("x")
        summarize("?")
        assert len(llm_server_session.requests) == 1
        assert llm_server_session.last.number == 1
        addresses.append(llm_server_session.url)

    def test_two(llm_server_session):
        llm_server_session.say("never")

    def test_three(llm_server_session):
        assert llm_server_session.requests == []
        assert set(addresses) == {llm_server_session.url}
    """)
    result.assert_outcomes(passed=3, failed=1)


def test_the_environment(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("NO_PROXY", "example.org,localhost")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    result = run("""
    import os
    before = dict(os.environ)

    def test_one(llm_server):
        assert os.environ["OPENAI_API_KEY"] == "tokenwire"
        assert os.environ["OPENAI_BASE_URL"] == llm_server.openai_url
        assert os.environ["NO_PROXY"] == "example.org,localhost,127.0.0.1"
        assert "AWS_PROFILE" not in os.environ
        assert llm_server.env.items() <= os.environ.items()

    def test_two():
        now = dict(os.environ)
        for environment in (before, now):
            environment.pop("PYTEST_CURRENT_TEST", None)
        assert now == before
    """)
    result.assert_outcomes(passed=2)


def test_async_tests_and_other_processes(run: Runner) -> None:
    result = run(
        """
    import subprocess, sys

    async def summarize_async(question):
        return (await tokenwire.ask_async("openai", question, model="m")).text

    @pytest.mark.asyncio
    async def test_asyncio(llm_server):
        llm_server.say("asyncio")
        assert await summarize_async("?") == "asyncio"

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
    async def test_anyio(llm_server, anyio_backend):
        llm_server.say(anyio_backend)
        assert await summarize_async("?") == anyio_backend

    def test_another_process(llm_server):
        llm_server.say("from another process")
        code = "import tokenwire; print(tokenwire.ask('openai', '?', model='m').text)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "from another process\\n"
    """,
    )
    result.assert_outcomes(passed=4)


def test_a_late_request_meets_a_closed_port(run: Runner) -> None:
    result = run("""
    import socket
    port = []

    def test_one(llm_server):
        port.append(int(llm_server.url.rpartition(":")[2]))

    def test_two(llm_server):
        llm_server.say("mine")
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", port[0]), timeout=5)
        assert summarize("?") == "mine"
    """)
    result.assert_outcomes(passed=2)


def test_with_xdist(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # it takes less long
    pytester.makepyfile("""
    import pytest, tokenwire

    @pytest.mark.parametrize("number", range(40))
    def test_one(llm_server, number):
        llm_server.say(f"word {number}")
        reply = tokenwire.ask("openai", f"question {number}", model="m")
        assert reply.text == f"word {number}"
        assert llm_server.texts == [f"question {number}"]
    """)
    plugins = ("-p", "xdist.plugin", "-p", "tokenwire.pytest_plugin", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess("-n", "2", *plugins)
    result.assert_outcomes(passed=40)


def test_it_loads_little() -> None:
    code = """
import sys, pytest
before = set(sys.modules)
import tokenwire.pytest_plugin
new = {name for name in set(sys.modules) - before}
heavy = {"anyio", "asyncio", "h11", "httpx", "hypothesis", "ssl", "socket", "trio"}
print(sorted(name for name in new if name.partition(".")[0] in heavy))
print(sorted(name for name in new if name.startswith(("tokenwire.testing", "tokenwire.server"))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n[]\n"


def test_without_anyio(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anyio.from_thread", None)
    result = run("""
    def test_one(llm_server):
        pass
    """)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*llm_server needs: pip install tokenwire[[]pytest]*"])


def test_a_timeline_of_a_test_that_fails(run: Runner) -> None:
    code = """
    def test_it(llm_server):
        llm_server.say("It ", "is blue.").resets(after="It is")
        llm_server.refuse(503, "no room")
        llm_server.say("x").closes(head=False)
        llm_server.say("y").closes(after=7)
        llm_server.say("z").stalls()
        for _ in range(4):
            with pytest.raises(tokenwire.TokenwireError):
                summarize("Why?")
        ask(llm_server, patience=0.05)
        llm_server.say("z").stalls(after=0)
        ask(llm_server, patience=0.05)
        ask(llm_server, method="GET", path="/v1/models")
        ask(llm_server, path="/nothing")
        assert 0
    """
    result = run(code, "--tokenwire-timeline=drawn")
    result.assert_outcomes(failed=1)
    (page,) = (run.pytester.path / "drawn").iterdir()
    result.stdout.fnmatch_lines([f"timeline: {page}"])
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<section") == 6
    for words in ("It ", "no room", "reset"):
        assert words in text


def test_each_place_is_a_subtest(run: Runner) -> None:
    """All that fail are reported, and the page is written once."""
    code = """
    def test_it(llm_server, subtests):
        for cut in llm_server.every_truncation("It ", "is blue.", step="event"):
            with subtests.test(cut=cut):
                assert summarize("Why?") == "It is blue."
        assert cut.complete
    """
    with mock.patch.object(LlmServer, "timeline", autospec=True, return_value="drawn") as timeline:
        result = run(code, "--tokenwire-timeline=drawn")
    result.assert_outcomes(failed=5)  # four places, and the test that they are of
    result.stdout.fnmatch_lines(
        [
            "SUBFAILED(cut=<byte 0 of *: b'' before it, b'data: {* after it>) *::test_it*",
            *["SUBFAILED(cut=<byte * of *: *\\n\\n' before it, b'data: {* after it>) *"] * 3,
            "FAILED *::test_it - contains 4 failed subtests",
        ]
    )
    assert sum(line.startswith("timeline: ") for line in result.outlines) == 4
    assert timeline.call_count == 1


# Cassettes

RECORDED = """
    @pytest.mark.llm_cassette
    def test_recorded(llm_server):
        assert "was asked: Why?" in summarize("Why?")
        assert llm_server.last.text == "Why?"

    @pytest.mark.llm_cassette("other.jsonl", ignore=("/model",))
    class TestMore:
        def test_more(self, llm_server):
            assert "was asked: Why?" in summarize("Why?")
"""


def test_cassettes(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run.pytester.path
    result = run(RECORDED)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "there is no cassette *test_recorded.jsonl: record it with",
            "    pytest '*::test_recorded' --tokenwire-record=once",
        ]
    )
    with serve("openai", key="sk-the-real-one") as upstream:
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-the-real-one")
        run(RECORDED, "--tokenwire-record=live").assert_outcomes(passed=2)
        assert not (path / "cassettes").exists()
        run(RECORDED, "--tokenwire-record=once").assert_outcomes(passed=2)
        run(RECORDED, "--tokenwire-record=once").assert_outcomes(passed=2)
        assert len(upstream.requests) == 4
        run(RECORDED, "--tokenwire-record=rewrite").assert_outcomes(passed=2)
        run(RECORDED, "--tokenwire-record=once", "--tokenwire-cassettes=elsewhere").assert_outcomes(
            passed=2
        )
    assert (path / "cassettes" / "other.jsonl").exists()
    (file,) = (path / "cassettes" / "test_cassettes").iterdir()
    assert file.name == "test_recorded.jsonl"
    assert "sk-the" not in file.read_text()
    assert len([*(path / "elsewhere").rglob("*.jsonl")]) == 2
    run(RECORDED).assert_outcomes(passed=2)
    result = run(RECORDED.replace('summarize("Why?")', 'summarize("Who?")'))
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(['*at /messages/0/content it has "Why?", not "Who?"*'])


def test_a_cassette_that_is_too_old(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
    @pytest.mark.llm_cassette("it.jsonl", max_age="90d", stale="record")
    def test_it(llm_server):
        summarize("Why?")
    """
    path = run.pytester.path / "cassettes" / "it.jsonl"

    def recorded(date: str) -> None:
        save(msgspec.structs.replace(load(path), recorded=date), path)

    with serve("openai") as upstream:
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-the-real-one")
        run(code, "--tokenwire-record=once").assert_outcomes(passed=1)
        recorded("1999-12-31")
        heard = "-Wdefault::UserWarning"  # this process makes them errors
        result = run(code, heard)
        result.assert_outcomes(passed=1, warnings=1)
        result.stdout.fnmatch_lines(["*it.jsonl was recorded on 1999-12-31, more than 90d ago*"])
        run(code.replace("record", "fail")).assert_outcomes(errors=1)
        once = "--tokenwire-record=once"
        run(code.replace("record", "warn"), once, heard).assert_outcomes(passed=1, warnings=1)
        run(code.replace('max_age="90d", ', ""), once).assert_outcomes(passed=1)
        assert len(upstream.requests) == 1
        run(code, once).assert_outcomes(passed=1)
        assert len(upstream.requests) == 2
    assert load(path).recorded != "1999-12-31"
    recorded("9999-12-31")
    run(code, once).assert_outcomes(passed=1)
    assert len(upstream.requests) == 2


def test_a_cassette_that_is_not_used_up(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
    @pytest.mark.llm_cassette
    def test_it(llm_server):
        summarize("Why?")
        summarize("Why?")
    """
    with serve("openai") as upstream:
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-the-real-one")
        run(code, "--tokenwire-record=once").assert_outcomes(passed=1)
    result = run(code.replace('        summarize("Why?")\n', "", 1))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*nobody asked for POST http://*/v1/chat/completions*"])


def test_nothing_is_recorded_without_a_key(run: Runner) -> None:
    result = run(RECORDED, "--tokenwire-record=once")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*to record openai, set OPENAI_API_KEY*"])
    assert not (run.pytester.path / "cassettes").exists()


def test_raw_requests_reach_it(llm_server: LlmServer, tmp_path: Path) -> None:
    llm_server.say("x")
    assert ask(llm_server).status == 200
    assert os.environ["OPENAI_BASE_URL"] == llm_server.openai_url
    assert tmp_path.exists()
