"""What OpenTelemetry instrumentations tell of a stream that goes wrong, or that its reader leaves.

    python -m benchmarks.instrumentations

Nothing is timed. Each instrumentation runs in a process of its own, by the environment that `make
.peers/ready` sets up in `.peers/otel`; what is not installed is left out by name. All ask the
embedded server in OpenAI's format, those of others by the openai SDK. The table that is printed has
for each the spans that came, their status, their `error.type`, and the finish reasons.
"""

import asyncio
import gc
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers" / "otel" / "bin" / "python"

__all__ = ["INSTRUMENTATIONS", "ROWS", "server", "table", "told_by"]

MIDWAY = 900
"""Bytes of a body that is cut in the middle of an answer."""

READ, LEAVE, DROP, KEEP = "read", "leave", "drop", "keep"
"""What the reader does: read all; leave after a piece, by `with`; after a piece drop the object, or
keep it without closing it."""

ROWS: Mapping[str, tuple[str, str]] = {
    "whole": (READ, ""),
    "the reader leaves by `with` and `break`": (LEAVE, "StallAfter"),
    "the reader breaks, and drops the object": (DROP, "StallAfter"),
    "the reader breaks, and keeps the object": (KEEP, "StallAfter"),
    "the body ended early": (READ, "EndAfter"),
    "the connection was closed": (READ, "CloseAfter"),
    "the connection was reset": (READ, "ResetAfter"),
    "broken JSON": (READ, "BreakEvent"),
    "an HTML page, 200": (READ, "HtmlPage"),
    "an error object, 200": (READ, "ErrorObject"),
    "429": (READ, "RefuseWith"),
}
"""Each row: what the reader does, and the fault of the server."""


class Told(NamedTuple):
    """What one span says."""

    name: str
    status: str
    error: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        parts = [self.status, self.error and f"`{self.error}`", ", ".join(self.reasons)]
        return " ".join(filter(None, parts))


Ask = Callable[[str, str], object]
"""Ask the service at a base URL, and do one of the four things; the result is kept."""


# The instrumentations: each returns how to ask with it, and its exporter gets the spans.


def tokenwire(provider: Any) -> Ask:
    """Ours."""
    import tokenwire as ours
    from tokenwire.telemetry import Telemetry
    from tokenwire.transports.sync import Client

    telemetry = Telemetry(tracer_provider=provider)

    def ask(url: str, how: str) -> object:
        what: dict[str, Any] = {"base_url": url, "key": "k", "model": "m", "observers": [telemetry]}
        client = Client(trust_env=False, retry=ours.NO_RETRY)
        answer = ours.stream("openai", "Hello", client=client, **what)
        if how in (READ, LEAVE):
            with client, answer:
                for _ in answer:
                    if how == LEAVE:
                        break
            return answer
        next(answer)
        return answer if how == KEEP else None

    return ask


def by_openai(instrument: Callable[[Any], None] = lambda client: None) -> Ask:
    """How to ask by the openai SDK."""
    import openai

    def ask(url: str, how: str) -> object:
        client = openai.OpenAI(base_url=url, api_key="k", max_retries=0, timeout=5)
        instrument(client)
        chunks = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        if how == READ:
            for _ in chunks:
                pass
        elif how == LEAVE:
            with chunks:
                for _ in chunks:
                    break
        else:
            next(iter(chunks))
        return (client, chunks) if how == KEEP else None

    return ask


def by_instrumentor(module: str, provider: Any) -> Ask:
    """How to ask by the openai SDK, which an `OpenAIInstrumentor` has changed."""
    peer: Any = import_module(module)
    peer.OpenAIInstrumentor().instrument(tracer_provider=provider)
    return by_openai()


def otel_genai(provider: Any) -> Ask:
    """opentelemetry-instrumentation-genai-openai."""
    return by_instrumentor("opentelemetry.instrumentation.genai.openai", provider)


def openllmetry(provider: Any) -> Ask:
    """opentelemetry-instrumentation-openai."""
    return by_instrumentor("opentelemetry.instrumentation.openai", provider)


def openinference(provider: Any) -> Ask:
    """openinference-instrumentation-openai."""
    return by_instrumentor("openinference.instrumentation.openai", provider)


def logfire(provider: Any) -> Ask:
    """logfire."""
    peer: Any = import_module("logfire")
    processor = provider._active_span_processor
    peer.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
    return by_openai(peer.instrument_openai)


def pydantic_ai(provider: Any) -> Ask:
    """pydantic-ai: the span of the model."""
    peer: Any = import_module("pydantic_ai")
    models: Any = import_module("pydantic_ai.models.openai")
    providers: Any = import_module("pydantic_ai.providers.openai")
    settings = peer.InstrumentationSettings(tracer_provider=provider)

    async def run(url: str, how: str) -> None:
        import openai

        client = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, timeout=5)
        model = models.OpenAIChatModel("m", provider=providers.OpenAIProvider(openai_client=client))
        agent = peer.Agent(model)
        agent.instrument = settings
        async with agent.run_stream("Hello") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                if how == LEAVE:
                    break

    def ask(url: str, how: str) -> object:
        if how in (DROP, KEEP):
            raise NotImplementedError
        asyncio.run(run(url, how))
        return None

    return ask


INSTRUMENTATIONS: Mapping[str, tuple[Callable[[Any], Ask], str]] = {
    "tokenwire": (tokenwire, "opentelemetry.sdk"),
    "OTel genai-openai": (otel_genai, "opentelemetry.instrumentation.genai.openai"),
    "openllmetry": (openllmetry, "opentelemetry.instrumentation.openai"),
    "openinference": (openinference, "openinference.instrumentation.openai"),
    "logfire": (logfire, "logfire"),
    "pydantic-ai": (pydantic_ai, "pydantic_ai"),
}
"""Each with the module that it needs."""


def told_by(name: str, urls: Mapping[str, str]) -> dict[str, list[Told] | None]:
    """What an instrumentation tells of each row, whose server is at one of `urls`. None: there is
    no such way to ask with it."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    ask = INSTRUMENTATIONS[name][0](provider)
    found: dict[str, list[Told] | None] = {}
    for row, url in urls.items():
        kept: list[object] = []
        possible = True
        try:
            kept.append(ask(url, ROWS[row][0]))
        except NotImplementedError:
            possible = False
        except Exception:
            if row == "whole":
                raise  # nothing goes wrong there
        if ROWS[row][0] == DROP:
            kept.clear()
            gc.collect()
        spans = [span for span in exporter.get_finished_spans() if "agent" not in span.name]
        found[row] = [_told(span) for span in spans] if possible else None
        if ROWS[row][0] == KEEP:
            kept.clear()
            gc.collect()
        exporter.clear()
    return found


def _told(span: Any) -> Told:
    attributes: dict[str, Any] = dict(span.attributes or {})
    status = span.status.status_code.name.replace("UNSET", "unset")
    reasons: list[str] = []
    for name, value in attributes.items():
        if "finish_reason" in name and "." in name:
            reasons += [value] if isinstance(value, str) else list(value)
    if evidence := attributes.get("tokenwire.evidence"):
        status += f", complete by {evidence}"
    elif outcome := attributes.get("tokenwire.outcome"):
        status += f", {outcome}"
    return Told(span.name, status, str(attributes.get("error.type", "")), tuple(reasons))


# The table


def main() -> None:
    found: dict[str, dict[str, list[Told] | None]] = {}
    with ExitStack() as stack:
        urls = {row: stack.enter_context(server(fault)) for row, (_, fault) in ROWS.items()}
        for name, (_, module) in INSTRUMENTATIONS.items():
            python = sys.executable if name == "tokenwire" else str(PEERS)
            told = _asked(python, name, module, urls)
            if told is None:
                print(f"{name} is not installed: it is left out", file=sys.stderr)
            else:
                found[name] = told
    print("\n".join(table(found)))


def _asked(
    python: str, name: str, module: str, urls: Mapping[str, str]
) -> dict[str, list[Told] | None] | None:
    if not Path(python).exists():
        return None
    done = subprocess.run(
        [python, "-m", "benchmarks.instrumentations", name, module],
        input=json.dumps(urls),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    if done.returncode == 3:
        return None
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr}")
    rows: dict[str, list[list[Any]] | None] = json.loads(done.stdout.splitlines()[-1])
    return {
        row: None
        if spans is None
        else [Told(each[0], each[1], each[2], tuple(each[3])) for each in spans]
        for row, spans in rows.items()
    }


def server(fault: str) -> Any:
    """A context manager: a server with this fault; its base URL."""
    from tokenwire import Chat, End, Event, Finish, Text, Usage
    from tokenwire.server import faults, serve

    def answer(chat: Chat) -> Iterable[Event]:
        texts = (Text(f"word {number} ") for number in range(12))
        return (*texts, Finish("stop", "stop"), Usage(2, 12), End("terminator"))

    made: Mapping[str, Callable[[], faults.Fault]] = {
        "StallAfter": lambda: faults.StallAfter(MIDWAY),
        "EndAfter": lambda: faults.EndAfter(border()),
        "CloseAfter": lambda: faults.CloseAfter(MIDWAY),
        "ResetAfter": lambda: faults.ResetAfter(MIDWAY),
        "BreakEvent": lambda: faults.BreakEvent(3),
        "HtmlPage": faults.HtmlPage,
        "ErrorObject": faults.ErrorObject,
        "RefuseWith": lambda: faults.RefuseWith(429),
    }

    def border() -> int:
        """Where an event ends, so that nothing but the end mark is missing to a reader."""
        with serve("openai", answer) as server:
            from urllib.request import Request, urlopen

            body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "a"}]}
            asked = Request(f"{server.url}/chat/completions", json.dumps(body).encode())
            asked.add_header("content-type", "application/json")
            with urlopen(asked) as response:
                received: bytes = response.read()
        return received.index(b"\n\n", MIDWAY) + 2

    @contextmanager
    def serving() -> Generator[str]:
        with serve("openai", answer, fault=made[fault]() if fault else None) as server:
            yield server.url

    return serving()


def table(found: Mapping[str, Mapping[str, list[Told] | None]]) -> Iterator[str]:
    """The lines of the table."""
    yield f"| the server, or the reader | {' | '.join(found)} |"
    yield f"|---|{'---|' * len(found)}"
    for row in ROWS:
        yield f"| {row} | {' | '.join(_cell(told[row]) for told in found.values())} |"


def _cell(spans: list[Told] | None) -> str:
    if spans is None:
        return "-"
    return f"{len(spans)}: {'; '.join(map(str, spans))}" if spans else "0"


def work(name: str, module: str) -> int:
    """What the process of one instrumentation does."""
    missing = True
    with suppress(ModuleNotFoundError):
        missing = find_spec(module) is None
    if missing:
        return 3
    warnings.simplefilter("ignore")
    print(json.dumps(told_by(name, json.load(sys.stdin))))
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(work(*sys.argv[1:]))
    main()
