"""What a caller may ask for."""

from hashlib import sha256

import pytest

from tests.gateway.driving import config_of
from tokenwire.gateway.config import Config, Key
from tokenwire.gateway.fronts import Front, Fronts
from tokenwire.gateway.reach import Reach, is_alike
from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.toolkit.http import Request

RESPONSES = '[providers.{0}]\ndialect = "openai_responses"\nbase_url = "http://{0}.test/v1"\n'


def config(*keyed: str) -> Config:
    """Models `a` and `b*` of the service one, `c` of two, `d` of another format; and a key."""
    models = "".join(
        f'[[models]]\nname = "{name}"\nlimits = {{ rpm = 5 }}\n'
        f'targets = [{{ provider = "{provider}", model = "x" }}]\n'
        for name, provider in (("a", "one"), ("b*", "one"), ("c", "two"), ("d", "other"))
    )
    digest = sha256(b"k").hexdigest()
    names = ", ".join(f'"{name}"' for name in keyed)
    key = f'[[keys]]\nname = "k"\nsha256 = "{digest}"\nmodels = [{names}]\n'
    return config_of(
        RESPONSES.format("one")
        + RESPONSES.format("two")
        + '[providers.other]\ndialect = "openai_chat"\nbase_url = "http://other.test/v1"\n'
        + models
        + (key if keyed else "")
    )


def reach(*keyed: str, named: str = "") -> Reach:
    made = config(*keyed)
    key: Key | None = made.keys[0] if keyed else None
    return Reach(made, key, named)


def front(path: str = "/v1/responses/r_1", method: str = "GET") -> Front:
    return Fronts(["a"], lambda: 0.0).of(Request(method, f"http://gateway{path}", []))


def test_without_a_key_all_may_be_asked_for() -> None:
    assert reach().names == ["a", "b*", "c", "d"]
    assert reach().model("b1").name == "b*"
    with pytest.raises(BadRequest) as refused:
        reach().model("e")
    assert refused.value.status == 404


def test_a_key_may_be_for_some() -> None:
    mine = reach("a", "b1")
    assert mine.names == ["a"]
    assert (mine.model("a").name, mine.model("b1").name) == ("a", "b*")
    for name in ("b2", "c"):
        with pytest.raises(BadRequest, match=name) as refused:
            mine.model(name)
        assert refused.value.status == 404


def test_a_name_in_the_path_goes_before() -> None:
    assert reach(named="c").model("a").name == "c"


@pytest.mark.parametrize("keyed", [("a",), ("a", "b1"), ("b1",), ("a", "d")])
def test_who_has_kept_it(keyed: tuple[str, ...]) -> None:
    """Both models have the same service, and a service of another format keeps nothing."""
    keeper = reach(*keyed).keeper(front())
    assert [target.provider.name for target in keeper.targets] == ["one"]
    assert (keeper.name, keeper.limits.rpm, keeper.budget) == ("", None, None)


def test_who_has_kept_it_by_the_path() -> None:
    keeper = reach(named="c").keeper(front())
    assert [target.provider.name for target in keeper.targets] == ["two"]
    assert (keeper.name, keeper.limits.rpm) == ("c", 5)


@pytest.mark.parametrize(
    ("keyed", "named", "words"),
    [
        ((), "", "more than one service may have it"),
        (("a", "c"), "", "more than one service may have it"),
        (("d",), "", "no model that can be asked for here"),
        ((), "d", "no model that can be asked for here"),
    ],
)
def test_nobody_certain_has_kept_it(keyed: tuple[str, ...], named: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words) as refused:
        reach(*keyed, named=named).keeper(front())
    assert refused.value.status == 400


def test_what_has_the_endpoints_of_a_format() -> None:
    (target,) = config().models[0].targets
    assert is_alike(target, front())
    assert not is_alike(target, front("/v1/chat/completions", "POST"))
