"""How survivors among the mutants are named, listed and compared."""

import textwrap

import pytest

pytest.importorskip("mutmut")  # which is not for Windows

from tests import mutants
from tests.mutants import ROOT, differences, lines_changed, own_tests, read_listed

FUNCTION = '''\
def judge(self, a: int | None = None) -> bool:
    """Says "x = 1"."""
    self.first = False
    self.second = False  # not "None"
    if self.first is None or self.second is None or len(self.rest[-2:]) > self.limit:
        return f"{a or 'b'}" != "# c"
    call(
        {"accept": "d e"},
        b"f",
        True,
    )
    data.decode("latin-1").encode("latin-1")
    pause = min(2.0 ** min(a - 1, 60), self.longest)
    value = self.value
    other(value)
    value = self.value
    match a:
        case _:
            assert_never(a)
'''

CHANGES = [
    # What is changed, how often it stands there before, and the description.
    ("first = False", "first = None", 0, "first = False => first = None"),
    ("second = False", "second = None", 0, "second = False => second = None"),
    ("None or len", "None and len", 0, "second is None or => second is None and"),
    ("first is", "first is not", 0, "first is => first is not"),
    ("-2", "+2", 0, "rest[-2 => rest[+2"),
    ("-2", "-3", 0, "rest[-2 => rest[-3"),
    (") > ", ") >= ", 0, "len(self.rest[-2:]) > self.limit => len(self.rest[-2:]) >= self.limit"),
    ("'b'", "'XXbXX'", 0, "return f\"{a or 'b'}\" => return f\"{a or 'XXbXX'}\""),
    ("!=", "==", 0, 'f"{a or \'b\'}" != "# c" => f"{a or \'b\'}" == "# c"'),
    ('"accept"', '"ACCEPT"', 0, '{"accept" => {"ACCEPT"'),
    ('"d e"', "None", 0, '"accept": "d e" => "accept": None'),
    ("\n        True,", "", 0, 'b"f", True, => b"f",'),
    ("True", "False", 0, 'b"f", True => b"f", False'),
    ('"latin-1"', '"LATIN-1"', 0, 'decode("latin-1") => decode("LATIN-1")'),
    ('"latin-1"', '"LATIN-1"', 1, 'encode("latin-1") => encode("LATIN-1")'),
    ("60", "61", 0, "a - 1, 60 => a - 1, 61"),
    ("2.0", "3.0", 0, "min(2.0 => min(3.0"),
    ("value = self.value", "value = None", 0, "value = self.value => value = None"),
    ("other(value)", "other(None)", 0, "other(value) => other(None)"),
    ("        case _:\n            assert_never(a)\n", "", 0, "case _: assert_never(a) =>"),
    ("assert_never(a)", "assert_never(None)", 0, "assert_never(a) => assert_never(None)"),
    ("judge", "judges", 0, "def judge => def judges"),
]


def changed(old: str, new: str, skipped: int = 0) -> str:
    """`FUNCTION` with `old` replaced where it comes after so many others."""
    before = "".join(part + old for part in FUNCTION.split(old)[:skipped])
    rest = FUNCTION[len(before) :]
    assert old in rest
    return before + rest.replace(old, new, 1)


def described(after: str, before: str = FUNCTION) -> str:
    return mutants.described("m C.judge", before, after)


@pytest.mark.parametrize(("old", "new", "skipped", "description"), CHANGES)
def test_description(old: str, new: str, skipped: int, description: str) -> None:
    assert described(changed(old, new, skipped)) == f"m C.judge: {description}"


def test_the_second_of_equal_statements() -> None:
    change = "value = self.value", "value = None"
    assert described(changed(*change, 1)) == "m C.judge #2: value = self.value => value = None"


def test_descriptions_differ() -> None:
    assert len({described(changed(*change[:3])) for change in CHANGES}) == len(CHANGES)


@pytest.mark.parametrize(("old", "new", "skipped", "description"), CHANGES)
def test_a_description_outlives_other_changes(
    old: str, new: str, skipped: int, description: str
) -> None:
    """Comments, other wrapping, another indentation, other statements before and after."""

    def otherwise(code: str) -> str:
        code = code.replace("None or len", "None or  # why\\\n len").replace("call(\n", "call(")
        code = code.replace('  # not "None"', "").replace(',\n        b"f"', ', b"f"')
        code = code.replace("    self.first = ", '    self.zeroth = "0"\n    self.first = ')
        return textwrap.indent(code + "        last()\n", "    ")

    after = changed(old, new, skipped)
    assert described(otherwise(after), otherwise(FUNCTION)) == described(after)


def test_lines_changed() -> None:
    after = changed("first = False", "first = None").replace("value = self.value", "", 1)
    assert lines_changed(FUNCTION, after).splitlines() == [
        "-    self.first = False",
        "+    self.first = None",
        "-    value = self.value",
        "+    ",
    ]


# The list

DOCUMENT = """\
# Survivors

Why, and `m f: not = this`.

```text
m f: a = 1 => a = 2
p.m  C.g #2: b  =>
```

```python
m f: not = this => either
```

```text

m f: a = 1 => a = 2
```
"""


def test_reading() -> None:
    assert read_listed(DOCUMENT) == [
        "m f: a = 1 => a = 2",
        "p.m C.g #2: b =>",
        "m f: a = 1 => a = 2",
    ]


@pytest.mark.parametrize("line", ["m: a => b", "m f a => b", "m f: a -> b", "m f #: a => b", "- a"])
def test_reading_what_is_not_a_survivor(line: str) -> None:
    with pytest.raises(SystemExit, match=f"no survivor.*\n{line}"):
        read_listed(f"```text\nm f: a => b\n{line}\n```\n")


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_printed_is_read(change: tuple[str, str, int, str]) -> None:
    line = described(changed(*change[:3]))
    assert read_listed(f"```text\n{line}\n```\n") == [line]
    assert mutants.module_of(line) == "m"


def test_differences() -> None:
    assert differences(["a", "b"], ["b", "a"]) == ([], [])
    assert differences(["a", "b", "a"], ["a", "c"]) == (["a", "b"], ["c"])
    assert differences(["a"], ["a", "a"]) == ([], ["a"])


def test_the_list_is_readable() -> None:
    assert read_listed(mutants.LISTED.read_text())


# Modules and their tests


def test_modules() -> None:
    modules = mutants.modules()
    assert {"exchange", "toolkit.lines", "formats.openai_chat.client"} <= {*modules}
    assert not any(module.endswith("presets") for module in modules)
    for module in modules:
        assert (ROOT / "src" / mutants.source(module).removeprefix("tokenwire/")).is_file()
        assert (ROOT / own_tests(module)).is_file(), f"{module} has no tests"


@pytest.mark.parametrize(
    ("module", "tests"),
    [
        ("exchange", "protocols/test_exchange"),
        ("toolkit.http", "protocols/toolkit/test_http"),
        ("formats.openai_chat.choice", "formats/openai_chat/test_client"),
        ("formats.openai_chat.server", "formats/openai_chat/test_server"),
        ("formats.anthropic.__init__", "formats/anthropic/test_server"),
        ("formats.anthropic.body", "formats/anthropic/test_request"),
        ("formats.founding.darkai.client", "formats/darkai/test_client"),
    ],
)
def test_tests_of(module: str, tests: str) -> None:
    assert own_tests(module) == f"tests/{tests}.py"


def test_chosen() -> None:
    assert mutants.chosen([]) == mutants.modules()
    assert mutants.chosen(["toolkit/lines", "limits"]) == ["toolkit.lines", "limits"]
    formats = mutants.chosen(["formats", "formats.openai_chat"])
    assert formats == [name for name in mutants.modules() if name.startswith("formats.")]
    with pytest.raises(SystemExit, match="with functions: tool"):
        mutants.chosen(["tool"])
