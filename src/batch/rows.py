"""Questions as rows: a line of a file, or a mapping, becomes a `Question`, which may be invalid.

A row is in one of three forms:

| form | a row |
|---|---|
| `openai` | `{"custom_id", "method", "url", "body"}`, of OpenAI's batch files (and vLLM's) |
| `anthropic` | `{"custom_id", "params"}`, of Anthropic's message batches |
| `messages` | `{"custom_id", "messages" or "prompt", ...}`: the rest are options of the chat |

Sources: platform.openai.com/docs/guides/batch, docs.anthropic.com/en/api/creating-message-batches.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from ..protocols.chat import Chat, Message
from ..protocols.encoding import merge
from ..protocols.errors import LocalProtocolError, RemoteProtocolError
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS, dialect_named
from ..protocols.service import Service
from ..protocols.toolkit.http import Request
from ..protocols.toolkit.json import is_object
from .digests import Asking, asked_digest, id_digest

__all__ = ["Form", "Question", "Reader", "Row", "line_id", "shard_of"]

Form: TypeAlias = Literal["openai", "anthropic", "messages"]

_FORMATS = {"openai": "openai_chat", "anthropic": "anthropic", "messages": "openai_chat"}
_BASE = "http://127.0.0.1"
_JSON = [(b"content-type", b"application/json")]
_NAME = re.compile(r"\{(\w+)\}")
_sorted = msgspec.json.Encoder(order="sorted")


class Row(msgspec.Struct, frozen=True):
    """A question of a program: `custom_id` names it in the journal, and no other row has it."""

    custom_id: str
    chat: Chat


class Question(msgspec.Struct, frozen=True):
    """One row. `number` counts the rows from 1. `asked` is the digest of what is asked: see
    `digests`. `problem`: why it can't be asked; empty if it can. `body` is what it asks as JSON,
    or a chat. `named`: whether the row itself has the id, which else is its number."""

    number: int
    custom_id: str
    asked: int
    form: Form = "openai"
    body: bytes | Chat = b""
    whole: bool = False
    """Whether the row says `"stream": false`."""
    named: bool = True
    problem: str = ""

    @property
    def key(self) -> int:
        """The digest of its id."""
        return id_digest(self.custom_id)

    @property
    def size(self) -> int:
        """About how many characters it has."""
        if isinstance(self.body, bytes):
            return len(self.body)
        return sum(len(message.text) for message in self.body.messages)


def line_id(number: int) -> str:
    """The id of a row that has none of its own."""
    return f"line-{number:06}"


def shard_of(key: int, shards: int) -> int:
    """Which of `shards` (from 1) a row belongs to, by the digest of its id."""
    return key % shards + 1


class Reader:
    """Reads rows for one provider.

    `model` is asked in place of the rows' own; `options` are fields of `Chat` that each question
    gets. `form`: that of all rows; empty: each row shows its own. `field`: the column that has the
    question, of rows that are any JSON objects; `template`: a text in which `{name}` stands for a
    column. Raises LocalProtocolError for a form that there is not.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        model: str = "",
        options: Mapping[str, Any] = {},
        form: str = "",
        field: str = "",
        template: str = "",
    ) -> None:
        if form and form not in get_args(Form):
            raise LocalProtocolError(f"the format {form!r}: give {', '.join(get_args(Form))}")
        self._provider = provider
        self._model = model
        self._options = dict(options)
        self._form = form
        self._field = field
        self._template = template
        self._asking = Asking(provider.dialect.name, self._options)
        self._services: dict[str, Service] = {}
        known = dialect_named("openai_chat").knows
        self._known = known | set(Chat.__struct_fields__) | {"reasoning_effort", "top_logprobs"}

    def line(self, number: int, line: bytes) -> Question:
        """The question in a line of a file."""
        try:
            value = msgspec.json.decode(line)
        except (ValueError, RecursionError) as error:
            problem = f"line {number} is not JSON: {error}"
            return self._invalid(number, problem, line)
        return self.value(number, value)

    def value(self, number: int, value: Any) -> Question:
        """The question in a row of a program: a mapping, or a `Row`."""
        if isinstance(value, Row):
            chat = self._with_model(value.chat)
            asked = self._asking.digest("chat", _sorted.encode(chat))
            return Question(number, value.custom_id, asked, body=chat)
        if not isinstance(value, Mapping):
            problem = f"row {number} is not an object"
            return self._invalid(number, problem, _bytes(value))
        row: dict[str, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
        try:
            custom_id = _custom_id(row)
            form, body = self._body(row)
            body["model"] = self._model or body.get("model") or self._provider.default_model
            raw = _sorted.encode(body)
        except LocalProtocolError as error:
            return self._invalid(number, f"row {number}: {error}", _bytes(row), _id_of(row))
        except (TypeError, ValueError, RecursionError) as error:
            return self._invalid(number, f"row {number} is not JSON: {error}", b"", _id_of(row))
        return Question(
            number,
            custom_id or line_id(number),
            self._asking.digest(form, raw),
            form,
            raw,
            whole=body.get("stream") is False,
            named=bool(custom_id),
        )

    def repeated(self, question: Question) -> Question:
        """`question`, whose id another row had before: invalid, by the number of its row."""
        problem = f"row {question.number}: the custom_id {question.custom_id!r} was there before"
        return self._invalid(question.number, problem, question.custom_id.encode())

    def chat(self, question: Question) -> Chat:
        """What `question` asks. Raises LocalProtocolError if that is no chat, or its provider can't
        take it."""
        if question.problem:
            raise LocalProtocolError(question.problem)
        if isinstance(question.body, Chat):
            return self._with_options(question.body)
        chat = _plain_chat(msgspec.json.decode(question.body))
        if chat is None or question.form == "anthropic":
            chat = self._read(question, question.body)
        return self._with_options(chat)

    def _read(self, question: Question, body: bytes) -> Chat:
        """The chat in the body of a request, read as a server reads it."""
        service = self._service(_FORMATS[question.form])
        try:
            chat = service.responder().read(Request("POST", _BASE, _JSON, body), {})
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"row {question.number}: {error.message}") from None
        assert chat is not None  # it has messages
        return chat.replace(stream=not question.whole)

    def _body(self, row: dict[str, Any]) -> tuple[Form, dict[str, Any]]:
        """The form of a row, and the body of its request."""
        if self._field or self._template:
            return "messages", {"messages": [{"role": "user", "content": self._text(row)}]}
        form = self._form or _form_of(row)
        match form:
            case "openai":
                _check_place(row)
                return "openai", _object(row, "body")
            case "anthropic":
                return "anthropic", _object(row, "params")
            case _:
                return "messages", self._messages(row)

    def _messages(self, row: dict[str, Any]) -> dict[str, Any]:
        body = {name: value for name, value in row.items() if name != "custom_id"}
        prompt = body.pop("prompt", None)
        if prompt is not None:
            if not isinstance(prompt, str) or "messages" in body:
                raise LocalProtocolError("give messages, or prompt, which is text")
            body["messages"] = [{"role": "user", "content": prompt}]
        if unknown := body.keys() - self._known:
            raise LocalProtocolError(
                f"{', '.join(sorted(unknown))}: no option of a chat; name the column that has the "
                "question with field"
            )
        return body

    def _text(self, row: dict[str, Any]) -> str:
        if not self._template:
            return _column(row, self._field)
        return _NAME.sub(lambda found: _column(row, found[1]), self._template)

    def _with_model(self, chat: Chat) -> Chat:
        model = self._model or chat.model or self._provider.default_model
        return chat if model == chat.model else chat.replace(model=model)

    def _with_options(self, chat: Chat) -> Chat:
        if not self._options:
            return chat
        options = dict(self._options)
        if "extra" in options:
            options["extra"] = merge(chat.extra, options["extra"])
        return chat.replace(**options)

    def _service(self, dialect: str) -> Service:
        service = self._services.get(dialect)
        if service is None:
            known = next(each for each in PROVIDERS.values() if each.dialect.name == dialect)
            # What a model is called is for the service that is asked to say.
            provider = known.replace(any_model=True, aliases={}, default_model="", params={})
            service = self._services[dialect] = Service(provider, base_url=_BASE)
        return service

    def _invalid(
        self, number: int, problem: str, raw: bytes, custom_id: str | None = None
    ) -> Question:
        custom_id = custom_id or line_id(number)
        return Question(number, custom_id, asked_digest(raw), problem=problem)


def _plain_chat(body: dict[str, Any]) -> Chat | None:
    """The chat of a body that has one text of the user and a model, as most have; None: it has
    more, and is read as a server would read it."""
    match body:
        case {
            "messages": [{"role": "user", "content": str(text), **rest}],
            "model": str(model),
            **more,
        }:
            return (
                None
                if rest or more or not model
                else Chat(messages=(Message("user", text),), model=model)
            )
        case _:
            return None


def _form_of(row: Mapping[str, Any]) -> str:
    if "body" in row:
        return "openai"
    if "params" in row:
        return "anthropic"
    if "messages" in row or "prompt" in row:
        return "messages"
    raise LocalProtocolError("it has no body, params, messages or prompt")


def _check_place(row: Mapping[str, Any]) -> None:
    method, url = row.get("method", "POST"), row.get("url", "/chat/completions")
    if method != "POST":
        raise LocalProtocolError(f"the method is POST, not {method!r}"[:200])
    if not isinstance(url, str) or not url.endswith("/chat/completions"):
        raise LocalProtocolError(f"only chats can be asked (/v1/chat/completions), not {url!r}")


def _object(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = row.get(name)
    if not is_object(value):
        raise LocalProtocolError(f"its {name} is an object")
    return dict(value)


def _custom_id(row: Mapping[str, Any]) -> str:
    """The row's own id; empty if it has none."""
    found = row.get("custom_id")
    if found is None:
        return ""
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise LocalProtocolError("its custom_id is text")
    return str(found)


def _id_of(row: Mapping[str, Any]) -> str | None:
    """The id of a row with another problem."""
    try:
        return _custom_id(row)
    except LocalProtocolError:
        return None


def _column(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        raise LocalProtocolError(f"it has no {name}")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _bytes(value: Any) -> bytes:
    """Anything, for a digest."""
    try:
        return _sorted.encode(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value).encode(errors="replace")
