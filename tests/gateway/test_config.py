"""The configuration that a gateway works with, from a file and without one."""

from datetime import date

import pytest
from rich.pretty import pretty_repr

from tokenwire.gateway.config import (
    Bounded,
    Budget,
    Config,
    ConfigError,
    Limits,
    Price,
    Rules,
    from_environment,
    host_and_port,
    is_loopback,
    load,
)
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS

DIGEST = "9f86d081" * 8
OTHER_DIGEST = "00112233" * 8
ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-12345678",
    "ANTHROPIC_API_KEY": "sk-ant-12345678",
    "STATE": "s" * 32,
    "SHORT": "short",
    "REDIS": "redis://:pw-12345678@127.0.0.1:6379/0",
}

PROVIDERS_TOML = """
[providers.openai]
key = "env:OPENAI_API_KEY"
[providers.claude]
dialect = "anthropic"
base_url = "https://api.anthropic.com"
key = "env:ANTHROPIC_API_KEY"
[providers.local]
dialect = "openai_chat"
base_url = "http://10.0.0.7:8000/v1"
"""

MODEL = '[[models]]\nname = "fast"\n'
TARGETS = "targets = [{ provider = 'local', model = 'qwen3' }]\n"
KEY = f"[[keys]]\nname = 'ci'\nsha256 = '{DIGEST}'\n"


def config(text: str, *, providers: bool = True) -> Config:
    def read(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    text = text + PROVIDERS_TOML if providers else text
    return load(text, name="gateway.toml", environment=ENVIRONMENT, read=read)


# Models and targets


def test_a_model_and_its_targets() -> None:
    found = config(
        'store = "redis://127.0.0.1:6379/0"\nstate_key = "env:STATE"\nworkers = 2\n'
        + MODEL
        + """strategy = "sticky"
        sticky.header = "X-Session"
        targets = [
          { provider = "claude", model = "claude-haiku-4-5", max_tokens = 32000, weight = 2 },
          { provider = "local", name = "ours", forward = ["X-Team"], lane = "translate" },
        ]
        price = { input = 1.0, output = 5.0 }
        limits = { rpm = 600 }
        allow = ["seed"]
        """
    )
    assert (found.store, found.state_key, found.workers) == (
        *("redis://127.0.0.1:6379/0", b"s" * 32, 2),
    )
    model = found.model("fast")
    assert model is not None
    assert (model.strategy, model.sticky_header) == ("sticky", "x-session")
    assert model.price == Price(input=1, output=5)
    assert (model.limits, model.budget) == (Limits(rpm=600), None)
    assert (model.allow, model.expect) == (frozenset(("seed",)), 500)
    assert model.reasoning_field == "reasoning_content"
    claude, ours = model.targets
    assert (claude.name, ours.name) == ("claude/claude-haiku-4-5", "ours")
    assert claude.provider.base_url == "https://api.anthropic.com"
    assert (claude.key, ours.key) == ("sk-ant-12345678", None)
    assert (claude.max_tokens, claude.weight, claude.lane) == (32000, 2, "auto")
    assert (ours.model, ours.forward, ours.lane) == ("", ("x-team",), "translate")
    assert ours.params == {}


def test_two_models_may_share_a_target() -> None:
    found = config(MODEL + TARGETS + '[[models]]\nname = "*"\n' + TARGETS)
    assert found.models[0].targets[0].name == found.models[1].targets[0].name == "local/qwen3"


PATTERNS = "".join(
    f'[[models]]\nname = "{name}"\n{TARGETS}'
    for name in ("claude-*", "fast", "claude-opus", "*-mini", "a*a", "gpt[1m]", "*")
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("fast", "fast"),
        ("claude-opus", "claude-opus"),  # exact names first
        ("claude-sonnet", "claude-*"),
        ("claude-mini", "claude-*"),  # then in the file's order
        ("gpt-mini", "*-mini"),
        ("aa", "a*a"),
        ("a", "*"),
        ("aba", "a*a"),
        ("gpt[1m]", "gpt[1m]"),
        ("gptm", "*"),
        ("", "*"),
        ("*", "*"),
    ],
)
def test_which_model_a_name_means(name: str, found: str) -> None:
    model = config(PATTERNS).model(name)
    assert model is not None
    assert model.name == found


def test_a_name_that_means_none() -> None:
    assert config(MODEL + TARGETS).model("slow") is None


@pytest.mark.parametrize(
    ("pattern", "target", "name", "asked"),
    [
        ("fast", "qwen3", "fast", "qwen3"),
        ("*", "", "qwen3", "qwen3"),
        ("fast", "", "fast", "fast"),
        ("openai/*", "*", "openai/gpt/4", "gpt/4"),
        ("*-mini", "models/*", "gpt-mini", "models/gpt"),
        ("a*b", "*", "ab", ""),
        ("openai/*", "*", "openai/a*b", "a*b"),
    ],
)
def test_the_models_name_upstream(pattern: str, target: str, name: str, asked: str) -> None:
    found = config(
        f'[[models]]\nname = "{pattern}"\n'
        f'targets = [{{ provider = "local", model = "{target}" }}]\n'
    )
    (model,) = found.models
    assert model.asks(model.targets[0], name) == asked


def test_rules_are_merged() -> None:
    found = config(
        """
        [defaults]
        clocks = { connect = 5, idle = 30, total = 0 }
        attempts = 3
        ping = 7
        [[models]]
        name = "fast"
        ping = 8
        clocks = { idle = 31, total = 90 }
        on_cut = "error"
        targets = [
          { provider = "ollama", model = "qwen3", ping = 9, clocks.connect = 0 },
          { provider = "local" },
        ]
        [providers.ollama]
        """
    )
    first, second = found.models[0].targets
    assert first.rules == Rules(
        # `first_event` is that of the preset
        clocks=Clocks(connect=None, first_event=300, idle=31, total=90),
        ping=9,
        attempts=3,
        on_cut="error",
    )
    assert second.rules == Rules(
        clocks=Clocks(connect=5, first_event=120, idle=31, total=90),
        ping=8,
        attempts=3,
        on_cut="error",
    )


def test_the_rules_of_a_file_without_any() -> None:
    rules = config(MODEL + TARGETS).models[0].targets[0].rules
    assert rules == Rules(clocks=Clocks())
    assert (rules.ping, rules.commit_after, rules.deadline, rules.attempts, rules.on_cut) == (
        *(15, 15, 180, 2, "error+abort"),
    )


# Keys


def test_a_key() -> None:
    found = config(
        MODEL
        + TARGETS
        + "price = { input = 1, output = 1 }\n"
        + KEY.replace(DIGEST, DIGEST.upper())
        + """models = ["fast"]
        limits = { rpm = 60 }
        budget = { money = 20, per = "month" }
        per_model.fast.limits = { calls = 1 }
        expires = 2027-01-01
        """
    )
    (key,) = found.keys
    assert (key.name, key.digest) == ("ci", bytes.fromhex(DIGEST))
    assert (key.limits, key.budget) == (Limits(rpm=60), Budget(money=20, per="month"))
    assert key.per_model == {"fast": Bounded(limits=Limits(calls=1))}
    assert key.expires == date(2027, 1, 1)
    assert key.allows("fast")
    assert not key.allows("slow")


def test_a_key_that_signs() -> None:
    text = MODEL + TARGETS + "[[keys]]\nname = 'aws'\naws = { id = 'i', secret = 'env:STATE' }\n"
    (key,) = config(text).keys
    assert (key.digest, key.aws) == (b"", AwsKey("i", ENVIRONMENT["STATE"]))
    (key,) = config(MODEL + TARGETS + KEY).keys
    assert key.aws is None


def test_a_key_without_models_is_for_all() -> None:
    (key,) = config(MODEL + TARGETS + KEY).keys
    assert key.models is None
    assert key.allows("slow")


def test_a_key_for_a_pattern() -> None:
    text = PATTERNS + KEY + "models = ['claude-*', 'gpt-*']"
    (key,) = config(text).keys
    assert key.allows("claude-opus")
    assert key.allows("gpt-4")
    assert not key.allows("fast")


def test_a_key_for_no_model() -> None:
    (key,) = config(MODEL + TARGETS + KEY + "models = []").keys
    assert not key.allows("fast")


def test_a_budget_does_not_need_the_price_of_other_models() -> None:
    price = "price = { input = 1, output = 1 }\n"
    paid = '[[models]]\nname = "paid"\n' + TARGETS + price
    budget = "models = ['paid']\nbudget = { money = 1, per = 'day' }\n"
    assert config(MODEL + TARGETS + paid + KEY + budget).keys[0].budget is not None
    budget = "per_model.paid.budget = { money = 1, per = 'day' }\n"
    assert config(MODEL + TARGETS + paid + KEY + budget).keys[0].budget is None


# Addresses


@pytest.mark.parametrize(
    "text", ["", 'listen = "0.0.0.0:80"\nopen = true\n', 'listen = "[::1]:80"\nadmin = ""\n']
)
def test_where_it_may_listen(text: str) -> None:
    assert config(text + MODEL + TARGETS).keys == ()


def test_with_keys_it_may_listen_anywhere() -> None:
    text = 'listen = "0.0.0.0:80"\nadmin = "0.0.0.0:81"\n' + MODEL + TARGETS + KEY
    assert config(text).listen == "0.0.0.0:80"


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:4000", "127.0.0.1", 4000), ("[::1]:0", "::1", 0), ("a.example:1", "a.example", 1)],
)
def test_an_address(address: str, host: str, port: int) -> None:
    assert host_and_port(address) == (host, port)


@pytest.mark.parametrize("address", ["", "4000", ":4000", "a:", "a:b", "a:-1", "a:65536", "a:٣"])
def test_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match=r" is no address: write host:port, as 127.0.0.1:4000$"):
        host_and_port(address)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
    ],
)
def test_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here


# What is wrong

PAID = "budget = { money = 1, per = 'day' }\n"

WRONG = {
    "an unknown key": ("lisen = ''\n" + MODEL + TARGETS, "unknown key `lisen`; did you mean"),
    "no provider": (
        MODEL + "targets = [{ provider = 'locla' }]",
        "models.fast.targets[0]: there is no [providers.locla]; did you mean local?",
    ),
    "a preset that is not in the file": (
        MODEL + "targets = [{ provider = 'gemini' }]",
        "models.fast.targets[0]: there is no [providers.gemini] (known: claude, local, openai)",
    ),
    "two stars": (
        '[[models]]\nname = "*-*"\n' + TARGETS,
        "models.*-*: a name has one * at most",
    ),
    "a star of a target alone": (
        MODEL + "targets = [{ provider = 'local', model = '*' }]",
        "models.fast.targets[0].model: a * needs one in the name of the model",
    ),
    "no max_tokens for Claude": (
        MODEL + "targets = [{ provider = 'claude', model = 'claude-haiku-4-5' }]",
        "models.fast.targets[0]: claude needs max_tokens: write it in the target",
    ),
    "max_tokens where there is none": (
        MODEL + "targets = [{ provider = 'darkai', max_tokens = 1 }]\n[providers.darkai]",
        "models.fast.targets[0]: darkai can't take max_tokens: leave it out",
    ),
    "a key where there is none": (
        MODEL
        + "targets = [{ provider = 'darkai' }]\n[providers.darkai]\nkey = 'env:OPENAI_API_KEY'",
        "models.fast.targets[0]: darkai can't take key",
    ),
    "an address that is none": (
        MODEL
        + "targets = [{ provider = 'a' }]\n[providers.a]\n"
        + "dialect = 'openai_chat'\nbase_url = 'localhost:80'",
        "models.fast.targets[0]: base_url 'localhost:80': give http:// or https://",
    ),
    "credentials in an address": (
        MODEL
        + "targets = [{ provider = 'a' }]\n[providers.a]\n"
        + "dialect = 'openai_chat'\nbase_url = 'http://me:pw-12345678@localhost/v1'",
        "models.fast.targets[0]: base_url: give credentials by `key` or `headers`, not in the URL",
    ),
    "a model that the service does not have": (
        MODEL + "targets = [{ provider = 'darkai', model = 'nothing' }]\n[providers.darkai]",
        "models.fast.targets[0]: darkai has no model 'nothing'",
    ),
    "a model twice": (MODEL + TARGETS + MODEL + TARGETS, "models: `fast` is there twice"),
    "a target twice": (
        MODEL + "targets = [{ provider = 'local' }, { provider = 'local' }]",
        "models.fast.targets: `local/*` is there twice",
    ),
    "two targets of one name": (
        MODEL
        + TARGETS
        + "[[models]]\nname = 'slow'\ntargets = [{ provider = 'openai', name = 'local/qwen3' }]",
        "models.slow.targets: another model has a `local/qwen3` too, with another provider, ",
    ),
    "other limits of the same target": (
        MODEL
        + TARGETS
        + "[[models]]\nname = 'slow'\n"
        + "targets = [{ provider = 'local', model = 'qwen3', limits.rpm = 1 }]",
        "models.slow.targets: another model has a `local/qwen3` too, with another provider, ",
    ),
    "a key twice": (
        MODEL + TARGETS + KEY + KEY.replace(DIGEST, OTHER_DIGEST),
        "keys: `ci` is there twice",
    ),
    "a digest twice": (
        MODEL + TARGETS + KEY + KEY.replace("ci", "cd").replace(DIGEST, DIGEST.upper()),
        f"keys: `{DIGEST}` is there twice",
    ),
    "a key for no model": (
        MODEL + TARGETS + KEY + "models = ['fst']",
        "keys.ci.models: unknown model `fst`; did you mean fast?",
    ),
    "a key for a pattern that matches none": (
        MODEL + TARGETS + KEY + "models = ['slow*']",
        "keys.ci.models: unknown model `slow*` (known: fast)",
    ),
    "limits for no model": (
        PATTERNS + KEY + "per_model.claude-haiku.limits.rpm = 1",
        "keys.ci.per_model: unknown model `claude-haiku`; did you mean claude-",
    ),
    "a budget without a price": (
        MODEL + TARGETS + PAID,
        "models.fast: missing key `price`: a budget needs it",
    ),
    "a budget of a target": (
        MODEL + TARGETS.replace(" }", f", {PAID.strip()} }}"),
        "models.fast: missing key `price`: a budget needs it",
    ),
    "a budget of a key for all": (
        MODEL + TARGETS + KEY + PAID,
        "keys.ci: a budget needs the `price` of the model `fast`",
    ),
    "a budget of a key for one": (
        PATTERNS + KEY + PAID + "models = ['claude-sonnet']",
        "keys.ci: a budget needs the `price` of the model `claude-*`",
    ),
    "a budget of a key for a pattern": (
        MODEL + TARGETS + KEY + PAID + "models = ['f*']",
        "keys.ci: a budget needs the `price` of the model `fast`",
    ),
    "a budget of a key for one model": (
        PATTERNS + KEY + "per_model.fast." + PAID,
        "keys.ci: a budget needs the `price` of the model `fast`",
    ),
    "an address in words": ("listen = 'here'\n" + MODEL + TARGETS, "listen: 'here' is no address"),
    "an admin address in words": (
        "admin = 'here'\n" + MODEL + TARGETS,
        "admin: 'here' is no address",
    ),
    "open to others": (
        "listen = '0.0.0.0:80'\n" + MODEL + TARGETS,
        "listen: others can reach 0.0.0.0: add [[keys]], or write open = true if ",
    ),
    "an unknown store": (
        "store = 'postgres://a'\n" + MODEL + TARGETS,
        "store: write `memory`, or an address: redis://127.0.0.1:6379/0",
    ),
    "a store without a host": ("store = 'redis:'\n" + MODEL + TARGETS, "store: write `memory`, or"),
    "a store with half a host": (
        "store = 'redis://['\n" + MODEL + TARGETS,
        "store: write `memory`, or",
    ),
    "a store with half a port": (
        "store = 'redis://a:b'\n" + MODEL + TARGETS,
        "store: write `memory`, or",
    ),
    "a store with a password": (
        "store = 'redis://:pw-12345678@a'\n" + MODEL + TARGETS,
        "store: a secret must not be in this file",
    ),
    "a state key": (
        "state_key = 'sk-12345678'\n" + MODEL + TARGETS,
        "state_key: a secret must not be in this file",
    ),
    "a key without its digest": (
        MODEL + TARGETS + "[[keys]]\nname = 'ci'\n",
        "keys.ci: missing key `sha256`, or `aws`",
    ),
    "a secret that signs": (
        MODEL + TARGETS + "[[keys]]\nname = 'ci'\naws = { id = 'i', secret = 'sk-12345678' }\n",
        "keys.ci.aws.secret: a secret must not be in this file",
    ),
    "two keys that sign by one id": (
        MODEL
        + TARGETS
        + "[[keys]]\nname = 'a'\naws = { id = 'i', secret = 'env:STATE' }\n"
        + "[[keys]]\nname = 'b'\naws = { id = 'i', secret = 'env:STATE' }\n",
        "keys: `i` is there twice",
    ),
    "a check that is no path": (
        MODEL + "targets = [{ provider = 'local', check = 'health' }]",
        "models.fast.targets[0].check: Expected `str` matching regex",
    ),
    "a short state key": (
        "state_key = 'env:SHORT'\n" + MODEL + TARGETS,
        "state_key: it needs at least 32 bytes",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file(case: str) -> None:
    text, message = WRONG[case]
    with pytest.raises(ConfigError) as raised:
        config(text)
    assert str(raised.value).startswith(f"gateway.toml: {message}")
    assert "12345678" not in str(raised.value)


# Secrets


def test_secrets_may_be_literal_if_that_is_said() -> None:
    text = (
        "insecure_literal_keys = true\nstore = 'redis://:pw-12345678@a'\n"
        + MODEL
        + "targets = [{ provider = 'ours' }]\n"
        + "[providers.ours]\npreset = 'openai'\nkey = 'sk-12345678'\n"
    )
    found = config(text)
    assert found.models[0].targets[0].key == "sk-12345678"
    assert found.store == "redis://:pw-12345678@a"


def test_no_secret_is_in_a_repr() -> None:
    found = config(
        "store = 'env:REDIS'\nstate_key = 'env:STATE'\n"
        + MODEL
        + "targets = [{ provider = 'openai', model = 'gpt' }]\n"
        + KEY
    )
    for shown in (repr(found), pretty_repr(found), repr(found.models), pretty_repr(found.models)):
        assert "12345678" not in shown
        assert "sss" not in shown
    assert found.store == ENVIRONMENT["REDIS"]
    assert repr(found) == "<Config 127.0.0.1:4000, models: fast>"
    assert repr(found.models[0].targets) == "(<Target openai/gpt>,)"


# Without a file


def nothing(provider: Provider) -> bool:
    return False


def test_a_key_in_the_environment() -> None:
    found = from_environment({"ANTHROPIC_API_KEY": "sk-ant-12345678"}, nothing)
    (model,) = found.models
    assert model.name == "anthropic/*"
    assert found.model("anthropic/claude-haiku-4-5") is model
    (target,) = model.targets
    assert target.provider == PROVIDERS["anthropic"]
    assert target.key == "sk-ant-12345678"
    assert model.asks(target, "anthropic/claude-haiku-4-5") == "claude-haiku-4-5"
    assert (found.listen, found.keys) == ("127.0.0.1:4000", ())


def test_the_address_in_the_environment() -> None:
    environment = {"OPENAI_API_KEY": "sk-12345678", "OPENAI_BASE_URL": "https://other.example/v1"}
    found = from_environment(environment, nothing)
    assert {target.provider.base_url for model in found.models for target in model.targets} == {
        "https://other.example/v1"
    }


@pytest.mark.parametrize("address", ["http://[", "ftp://a", "[::1:1"])
def test_an_address_in_the_environment_that_is_none(address: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^the environment: models.openai/\*.targets\[0\]: base_"
    ):
        from_environment({"OPENAI_API_KEY": "x", "OPENAI_BASE_URL": address}, nothing)


def test_servers_on_this_machine_that_answer() -> None:
    asked: list[str] = []

    def answers(provider: Provider) -> bool:
        asked.append(provider.name)
        return provider.name == "ollama"

    found = from_environment({}, answers)
    assert [model.name for model in found.models] == ["ollama/*"]
    assert found.models[0].targets[0].key is None
    assert "lmstudio-anthropic" in asked
    assert not {"openai", "darkai", "ylokh"} & {*asked}


def test_a_server_elsewhere_that_the_environment_names() -> None:
    addresses: list[str] = []

    def answers(provider: Provider) -> bool:
        addresses.append(provider.base_url)
        return provider.name == "ollama"

    found = from_environment({"OLLAMA_HOST": "10.0.0.1"}, answers)
    assert "http://10.0.0.1:11434" in addresses
    assert found.models[0].targets[0].provider.base_url == "http://10.0.0.1:11434"


def test_an_address_with_parameters() -> None:
    environment = {"AZURE_OPENAI_API_KEY": "sk-12345678"}
    with pytest.raises(ConfigError):
        from_environment(environment, nothing)
    environment["AZURE_RESOURCE_NAME"] = "ours"
    found = from_environment(environment, nothing)
    assert {target.params["resource"] for model in found.models for target in model.targets} == {
        "ours"
    }


def test_nothing_to_ask() -> None:
    with pytest.raises(ConfigError) as raised:
        from_environment({"ANTHROPIC_API_KEY": " "}, nothing)
    assert str(raised.value).startswith(
        "there is nothing to ask: no server on this machine answers, and no key is in the "
        "environment (OPENAI_API_KEY, "
    )
    assert "ANTHROPIC_API_KEY" in str(raised.value)
