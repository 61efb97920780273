"""`record`: what goes to upstreams and back is kept."""

import asyncio
from pathlib import Path

import anyio

from tests.gateway.driving import ask, config_of, exchange_of, for_backs, gateway
from tests.gateway.running import backs, running
from tests.replay.taping import SAID
from tokenwire.gateway.app import App
from tokenwire.gateway.recordings import Recordings
from tokenwire.replay.cassette import load
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith


def test_a_file_for_each_call(tmp_path: Path) -> None:
    folder = tmp_path / "calls"

    async def main() -> None:
        # The same format is relayed, another one translated.
        async with (
            serve("openai", lambda chat: SAID, faults=[RefuseWith(503)]) as first,
            serve("anthropic", lambda chat: SAID) as second,
        ):
            text = for_backs(openai=first.url, anthropic=second.url)
            text = text.replace(
                'dialect = "openai_chat"', 'dialect = "openai_chat"\nkey = "tw-secret"'
            )
            text = f'record = "{folder}"\ninsecure_literal_keys = true\n{text}'
            async with gateway(text) as (app, _):
                for model in ("openai", "openai", "anthropic"):
                    await ask(app, exchange_of("openai", model))
                await ask(app, exchange_of("openai", "unknown"))

    anyio.run(main)
    files = sorted(folder.iterdir())
    assert len(files) == 3  # one of them asked nobody
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "tw-secret" not in "".join(path.read_text() for path in files)
    found = [load(path) for path in files]
    assert sorted(each.provider for each in found) == ["anthropic", "openai", "openai"]
    outcomes = [each.recordings[-1].outcome for each in found]
    assert sorted(noted.outcome for noted in outcomes if noted) == [
        *("complete", "complete", "overloaded")
    ]


def test_a_file_that_is_not_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failed: list[Exception] = []

    async def main() -> None:
        async with serve("openai", lambda chat: SAID) as server:
            text = f'record = "{tmp_path / "file"}"\n{for_backs(openai=server.url)}'
            app = App(config_of(text), record_failed=failed.append)
            outcome, _ = await ask(app, exchange_of("openai", "openai"))
            assert outcome.error is None
            app.adopt(config_of(for_backs(openai=server.url)))
            await ask(app, exchange_of("openai", "openai"))
            app.shared.client.close()

    anyio.run(main)
    assert len(failed) == 1
    assert "File exists" in str(failed[0])


def test_nothing_is_kept_by_default() -> None:
    recordings = Recordings("", lambda error: None)
    recording = recordings.begin("id")
    assert recording.observers() == ()
    recordings.keep(recording, "unique")


def test_what_fails_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        async with (
            serve("openai", lambda chat: SAID) as server,
            running(backs(server.url, record=str(tmp_path / "file"))) as gateway,
        ):
            await gateway.ask("openai")
            assert gateway.log[0]["message"].startswith("a recording: [Errno 17] File exists")

    asyncio.run(main())
