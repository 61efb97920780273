"""`tokenwire batch`: asks a file of questions, collects its answers, tells how far it is."""

import asyncio
import signal
import sys
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..batch.engine import Engine
from ..batch.files import is_locked
from ..batch.folding import Summary, collect, lines_with_rest, rows_of, status
from ..batch.intake import Intake, Survey
from ..batch.journal import is_folder
from ..batch.past import Past, Verdict
from ..batch.settings import Settings as BatchSettings
from ..batch.tally import Tally
from ..protocols.errors import LocalProtocolError
from . import Exit, one_line
from .asking import AskOptions
from .options import chat_options, read_text
from .progress import Progress, open_progress
from .server import embedded_server, key_for

__all__ = ["BatchOptions", "run_batch"]


@dataclass(frozen=True, kw_only=True)
class BatchOptions(AskOptions):
    """The options of `tokenwire batch`."""

    output: str
    like: Path | None
    model: str
    concurrency: str
    rpm: float | None
    tpm: float | None
    attempts: int
    truncated_attempts: int
    max_failures: str | None
    budget: float | None
    budget_tokens: int | None
    price: str | None
    reask: tuple[str, ...]
    shard: str | None
    form: str
    field: str
    template: Path | None
    options: tuple[str, ...]
    plain: bool
    skip_broken: bool
    as_json: bool
    quiet: bool


def run_batch(words: tuple[str, ...], options: BatchOptions) -> int:
    """Do what the arguments say. Returns the exit code. Raises LocalProtocolError for wrong usage,
    and for files that can't be used."""
    match words:
        case ("collect", source):
            _need(options.output, "collect: give the file to write with -o")
            output = Path(options.output)
            found = collect(
                Path(source), output, like=options.like, skip_broken=options.skip_broken
            )
            for custom_id in found.missing:
                _say(f"no outcome: {custom_id}")
            _say(_outcomes(found))
            return Exit.OK if found.is_complete else Exit.INCOMPLETE
        case ("status", source):
            _need(Path(source).exists(), f"{source}: there is no journal")
            running = not is_folder(source) and is_locked(Path(source))
            click.echo(_outcomes(status(Path(source))) + (" (being written)" if running else ""))
            return Exit.OK
        case (questions,):
            _need(options.output, "batch: give the file of the answers with -o")
            return _ask(questions, options)
        case _:
            raise LocalProtocolError("batch: give FILE, collect JOURNAL, or status JOURNAL")


def _need(given: object, message: str) -> None:
    if not given:
        raise LocalProtocolError(message)


def _say(text: str) -> None:
    print(one_line(text), file=sys.stderr)


def _outcomes(summary: Summary) -> str:
    rows = sum(summary.outcomes.values())
    parts = [f"{count:,} {word}" for word, count in summary.outcomes.most_common()]
    if summary.missing:
        parts.append(f"{len(summary.missing):,} without an outcome")
    return f"{rows + len(summary.missing):,} rows: {', '.join(parts) or 'none'}"


def _ask(questions: str, options: BatchOptions) -> int:
    with ExitStack() as stack:
        base_url, key = options.base_url, "" if options.embedded else key_for(options.provider)
        client_options = options.client_options()
        if options.embedded:
            base_url = stack.enter_context(embedded_server()(options.provider)).url
        settings = _settings(options, key, base_url, client_options)
        settings.asked()  # what is wrong with the address, say before anything is opened
        file = None if questions == "-" else Path(questions)
        if file is None:
            _need(sys.stdin is not None, "stdin is closed: give a file")
        else:
            _need(file.is_file(), f"{file} is not a file")
        journal = settings.open_journal()
        assert journal is not None  # there is an output
        stack.callback(journal.close)
        total = None
        intake = settings.intake(journal.past)
        if file is None:
            lines = rows_of(sys.stdin.buffer)
        else:
            survey = _survey(file, settings, journal.past, options)
            lines, total = lines_with_rest(file), survey.rows
            if not survey.to_ask:  # no need to look at them again
                lines, intake.survey = iter(()), survey
        engine = settings.engine(lines, intake, journal, total=total)
        progress = open_progress(engine.tally, as_json=options.as_json, quiet=options.quiet)
        interrupted = asyncio.run(_drive(engine, progress))
    tally = engine.tally
    if not options.quiet:
        _say(_summary(tally))
    if interrupted:
        return Exit.INTERRUPTED
    if tally.stopped:
        return Exit.STOPPED
    return Exit.INCOMPLETE if tally.incomplete else Exit.OK


def _settings(
    options: BatchOptions, key: Any, base_url: str | None, client: dict[str, Any]
) -> BatchSettings:
    template = "" if options.template is None else read_text(options.template)
    return BatchSettings(
        provider=options.provider,
        model=options.model,
        journal=options.output,
        concurrency=options.concurrency,
        rpm=options.rpm,
        tpm=options.tpm,
        attempts=options.attempts,
        truncated_attempts=options.truncated_attempts,
        max_failures=options.max_failures,
        budget=options.budget,
        budget_tokens=options.budget_tokens,
        price=options.price,
        reask=options.reask,
        shard=options.shard,
        format=options.form,
        field=options.field,
        template=template,
        options=chat_options(options.options),
        plain=options.plain,
        skip_broken=options.skip_broken,
        key=key,
        base_url=base_url,
        headers=dict(options.headers),
        clocks=options.clocks,
        client=client,
    )


def _survey(file: Path, settings: BatchSettings, past: Past, options: BatchOptions) -> Survey:
    """Look at all rows before anything is asked, and say what is to be done."""
    if not len(past) and settings.shard is None:
        rows = sum(1 for line in lines_with_rest(file) if line)
        return Survey(rows, Counter({Verdict.NEW: rows}))
    intake: Intake = settings.intake(past)
    for number, line in enumerate(lines_with_rest(file), 1):
        if line:
            intake.take(number, line)
    past.start_over()
    survey = intake.survey
    if not options.quiet and len(past):
        verdicts = survey.verdicts
        done = f"{verdicts[Verdict.DONE]:,} of {survey.rows:,} rows are complete"
        kinds = {
            "new": Verdict.NEW,
            "changed": Verdict.CHANGED,
            "not complete": Verdict.AGAIN,
            "invalid": Verdict.REPEATED,
        }
        parts = [f"{verdicts[kind]:,} {word}" for word, kind in kinds.items() if verdicts[kind]]
        asks = f"; to ask: {', '.join(parts)}" if parts else ""
        kept = verdicts[Verdict.KEPT]
        left = f"; {kept:,} failed for good (--reask failed asks them)" if kept else ""
        _say(f"{options.output}: {done}{asks}{left}")
    return survey


async def _drive(engine: Engine, progress: Progress) -> bool:
    """Run it. Returns whether it was interrupted."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(engine.run())
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            engine.stop("interrupted")
            progress.say("the rows in flight end; Ctrl-C again leaves them")
        else:
            task.cancel()

    handled: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has none, and threads neither: there Ctrl-C leaves at once.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, interrupt)
            handled.append(number)
    try:
        with progress:
            while not task.done():
                await asyncio.wait([task], timeout=progress.interval)
                if not task.done() or progress.shows_end:
                    progress.show()
            with suppress(asyncio.CancelledError):
                await task
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
    return interrupts > 0


def _summary(tally: Tally) -> str:
    """What the run has done, in a line."""
    parts = [f"{count:,} {word}" for word, count in tally.outcomes.most_common()]
    text = f"{', '.join(parts) or 'nothing asked'}"
    if tally.earlier:
        text += f", {tally.earlier:,} from before"
    text += f"; {tally.input_tokens:,} tokens in, {tally.output_tokens:,} out"
    if tally.bounds.price is not None:
        text += f", ${tally.bounds.cost:.4f} in all"
    if tally.stopped:
        text += f"; stopped: {tally.stopped}. The same command goes on"
    return text
