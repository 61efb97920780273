"""The configuration file: what it may contain, and the complaints about the rest."""

from datetime import date
from typing import Any

import jsonschema
import msgspec
import pytest

from tokenwire.gateway.file import (
    AwsEntry,
    Bounded,
    Budget,
    ClocksEntry,
    ConfigError,
    File,
    Limits,
    Price,
    RulesEntry,
    read_file,
    schema,
)
from tokenwire.protocols.errors import LocalProtocolError

DIGEST = "9f86d081" * 8

SMALL = '[[models]]\nname = "m"\ntargets = [{ provider = "openai" }]\n'

WHOLE = f"""
listen = "127.0.0.1:4001"
admin = ""
workers = 2
store = "redis://127.0.0.1:6379/0"
state_key = "env:STATE"
on_store_failure = "refuse"
hosts = ["gateway.example"]
max_request = 1_000
queue_wait = 0.5

[defaults]
clocks = {{ connect = 5, total = 0 }}
ping = 10
on_cut = "error"

[providers.openai]
key = "env:OPENAI_API_KEY"

[providers.bedrock]
key = {{ id = "env:ID", secret = "file:SECRET", region = "eu-west-1" }}

[providers.local]
dialect = "openai_chat"
base_url = "http://10.0.0.7:8000/v1"
headers = {{ x-team = "blue" }}
fields = {{ chat_template_kwargs = {{ enable_thinking = false }} }}
effort = {{ low = {{ reasoning_effort = "low" }} }}
text_only = ["tool"]
history = "reasoning_content"

[[models]]
name = "claude-*"
strategy = "sticky"
sticky.header = "x-session"
targets = [{{ provider = "local", model = "qwen3", max_tokens = 100, weight = 0.5, ping = 0 }}]
price = {{ input = 1, cached = 0.1, output = 5 }}
limits = {{ rpm = 600, tpm = 2_000_000 }}
allow = ["seed"]
attempts = 3

[[keys]]
name = "ci"
sha256 = "{DIGEST}"
models = ["claude-*"]
limits = {{ calls = 4 }}
budget = {{ money = 20, per = "month" }}
per_model."claude-*" = {{ limits = {{ rpm = 1 }} }}
expires = 2027-01-01
"""


def test_all_of_a_file() -> None:
    file = read_file(WHOLE, "gateway.toml")
    assert (file.listen, file.admin, file.workers) == ("127.0.0.1:4001", "", 2)
    assert (file.hosts, file.max_request, file.queue_wait) == (("gateway.example",), 1000, 0.5)
    assert file.defaults.clocks == ClocksEntry(connect=5, total=0)
    assert isinstance(file.providers["bedrock"].key, AwsEntry)
    assert file.providers["local"].effort == {"low": {"reasoning_effort": "low"}}
    (model,) = file.models
    assert model.sticky.header == "x-session"
    assert model.price == Price(input=1, cached=0.1, output=5)
    assert model.attempts == 3
    assert model.targets[0].ping == 0
    assert model.targets[0].attempts is msgspec.UNSET
    (key,) = file.keys
    assert (key.limits, key.budget) == (Limits(calls=4), Budget(money=20, per="month"))
    assert key.per_model == {"claude-*": Bounded(limits=Limits(rpm=1))}
    assert key.expires == date(2027, 1, 1)


def test_what_holds_for_an_almost_empty_one() -> None:
    file = read_file(SMALL, "gateway.toml")
    assert (file.listen, file.admin) == ("127.0.0.1:4000", "127.0.0.1:9464")
    assert (file.store, file.on_store_failure, file.keys) == ("memory", "local", ())
    assert (file.max_calls, file.queue, file.stall) == (1000, 0, 120)
    assert (file.open, file.query_keys, file.expose, file.estimate_input) == (
        *(False, False, False),
        True,
    )
    assert file.defaults == RulesEntry()
    assert file.models[0].expect == 500


MODEL = '[[models]]\nname = "m"\n'

WRONG = {
    "no TOML": ("listen = ", "Invalid value (at end of document)"),
    "a key that is there twice": ('store = ""\nstore = ""', "Cannot overwrite a value"),
    "an empty file": ("", "missing key `models`"),
    "no models": ("models = []", "models: Expected `array` of length >= 1"),
    "an unknown key": (SMALL + "[keyz]", "unknown key `keyz`; did you mean keys?"),
    "an unknown key of a model": (
        f"{MODEL}wieght = 1\ntargets = [{{ provider = 'p' }}]",
        "models.m: unknown key `wieght` (known: allow, attempts, budget, clocks, ",
    ),
    "an unknown key of a target": (
        f"{MODEL}targets = [{{ provider = 'p' }}, {{ provider = 'p', wieght = 1 }}]",
        "models.m.targets[1]: unknown key `wieght`; did you mean weight?",
    ),
    "an unknown clock": (
        SMALL + "[defaults.clocks]\nconect = 1",
        "defaults.clocks: unknown key `conect`; did you mean connect?",
    ),
    "an unknown key of a provider": (
        SMALL + "[providers.openai]\napi_key = 'sk-12345678'",
        "providers.openai: unknown key `api_key`",
    ),
    "an unknown key of credentials": (
        SMALL + "[providers.bedrock]\nkey = { id = 'a', secrte = 'b' }",
        "providers.bedrock.key: unknown key `secrte`; did you mean secret?",
    ),
    "an unknown key of a key": (
        f"{SMALL}[[keys]]\nname = 'ci'\nsha256 = '{DIGEST}'\nexpire = 2027-01-01",
        "keys.ci: unknown key `expire`; did you mean expires?",
    ),
    "an unknown limit": (
        f"{SMALL}limits = {{ rpn = 1 }}",
        "models.m.limits: unknown key `rpn`; did you mean rpm?",
    ),
    "a model without a name": (
        "[[models]]\ntargets = [{ provider = 'p' }]",
        "models[0]: missing key `name`",
    ),
    "a model without targets": (MODEL, "models.m: missing key `targets`"),
    "a model with no targets": (
        f"{MODEL}targets = []",
        "models.m.targets: Expected `array` of length >= 1",
    ),
    "a target without a provider": (
        f"{MODEL}targets = [{{ model = 'x' }}]",
        "models.m.targets[0]: missing key `provider`",
    ),
    "a target that is no table": (
        f"{MODEL}targets = ['openai']",
        "models.m.targets[0]: Expected `object`, got `str`",
    ),
    "a name of another kind": ("[[models]]\nname = 1", "models[0].name: Expected `str`, got `int`"),
    "a word": (
        f"{SMALL}strategy = 'last'",
        "models.m.strategy: unknown word `last`; did you mean least?",
    ),
    "a word that may be left out": (
        f"{SMALL}on_cut = 'abort'",
        "models.m.on_cut: unknown word `abort`; did you mean error+abort?",
    ),
    "a word of another kind": (
        f"{SMALL}strategy = 1",
        "models.m.strategy: Expected `str`, got `int`",
    ),
    "a price without output": (
        f"{SMALL}price = {{ input = 1 }}",
        "models.m.price: missing key `output`",
    ),
    "a negative price": (
        f"{SMALL}price = {{ input = -1, output = 1 }}",
        "models.m.price.input: Expected `float` >= 0.0",
    ),
    "a limit of nothing": (f"{SMALL}limits = {{ rpm = 0 }}", "models.m.limits.rpm: Expected `int`"),
    "half a token": (
        f"{SMALL}limits = {{ tpm = 0.5 }}",
        "models.m.limits.tpm: Expected `int`, got",
    ),
    "a time without an end": (f"stall = inf\n{SMALL}", "stall: Expected `float` <= "),
    "a time that is no number": (f"stall = nan\n{SMALL}", "stall: Expected `float` >= 0"),
    "a negative time": (f"drain = -1\n{SMALL}", "drain: Expected `float` >= 0"),
    "no workers": (f"workers = 0\n{SMALL}", "workers: Expected `int` >= 1"),
    "a digest of another kind": (
        f"{SMALL}[[keys]]\nname = 'ci'\nsha256 = 'tw-12345678'",
        "keys.ci.sha256: Expected `str` matching regex ",
    ),
    "a date with a time": (
        f"{SMALL}[[keys]]\nname = 'ci'\nsha256 = '{DIGEST}'\nexpires = 2027-01-01T00:00:00Z",
        "keys.ci.expires: Expected `date`, got `datetime`",
    ),
    "a budget for a week": (
        f"{SMALL}budget = {{ money = 1, per = 'week' }}",
        "models.m.budget.per: unknown word `week` (known: day, month)",
    ),
    "a set of numbers": (
        f"{SMALL}[providers.openai]\nomits = ['a', 1]",
        "providers.openai.omits[1]: Expected `str`, got `int`",
    ),
    "a number as a header": (
        f"{SMALL}[providers.openai.headers]\nx-team = 1",
        "providers.openai.headers.x-team: Expected `str`, got `int`",
    ),
    "an unknown effort": (
        f"{SMALL}[providers.openai.effort]\nvast = {{}}",
        "providers.openai.effort.vast: unknown word `vast` (known: ",
    ),
    "providers as a list": (
        f"providers = []\n{SMALL}",
        "providers: Expected `object`, got `array`",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file(case: str) -> None:
    text, message = WRONG[case]
    with pytest.raises(ConfigError) as raised:
        read_file(text, "gateway.toml")
    assert str(raised.value).startswith(f"gateway.toml: {message}")
    assert "12345678" not in str(raised.value)


def test_the_error_is_the_callers() -> None:
    assert issubclass(ConfigError, LocalProtocolError)


class TestSchema:
    def test_it_is_one(self) -> None:
        jsonschema.Draft202012Validator.check_schema(schema())

    @pytest.mark.parametrize("text", [SMALL, WHOLE], ids=["small", "whole"])
    def test_it_takes_what_the_gateway_takes(self, text: str) -> None:
        jsonschema.validate(self.as_json(text), schema())

    @pytest.mark.parametrize(
        "text",
        [
            SMALL.replace("provider", "provder"),
            f"workers = 0\n{SMALL}",
            f"{SMALL}strategy = 'last'",
            "",
        ],
    )
    def test_it_refuses_what_the_gateway_refuses(self, text: str) -> None:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(self.as_json(text), schema())

    def test_it_says_what_the_tables_are_for(self) -> None:
        tables = schema()["$defs"]
        assert {"File", "ModelEntry", "TargetEntry", "KeyEntry", "Limits"} <= tables.keys()
        assert all(table["description"] for table in tables.values())

    @staticmethod
    def as_json(text: str) -> Any:
        import tomllib

        return msgspec.to_builtins(tomllib.loads(text))


def test_only_what_is_there_is_in_a_file() -> None:
    file = read_file(SMALL, "gateway.toml")
    assert isinstance(file, File)
    assert file.models[0].ping is msgspec.UNSET
