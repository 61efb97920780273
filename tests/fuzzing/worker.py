"""Fuzzes one target in this process: `python -m tests.fuzzing.worker TARGET FOLDER [ARGUMENT...]`.

FOLDER takes seeds, dictionary, corpus and findings; the arguments are libFuzzer's: `-runs=1000`,
or the path of a finding, to run that alone. `--plant=NAME` spoils tokenwire first.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["instrumented", "work"]


def instrumented() -> Any:
    """The module of the targets. Only tokenwire is instrumented, so it must not be imported yet."""
    assert "tokenwire" not in sys.modules
    with _atheris().instrument_imports(include=["tokenwire"]):
        return import_module("tests.fuzzing.targets")


def work(targets: Any, name: str, folder: Path, *arguments: str) -> None:
    """Fuzz the target `name`. Never returns: libFuzzer ends the process."""
    target = targets.TARGETS[name]
    own = [argument for argument in arguments if argument.startswith("--plant=")]
    for argument in own:
        import_module("tests.fuzzing.planted").PLANTS[argument.removeprefix("--plant=")]()
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    dictionary = folder / "words"
    dictionary.write_text("".join(map(_as_word, target.words)), encoding="ascii")
    options = [f"-dict={dictionary}", f"-artifact_prefix={folder}/", f"-max_len={target.max_len}"]
    options += ["-print_final_stats=1", "-timeout=60"]
    options += [argument for argument in arguments if argument not in own]
    if all(option.startswith("-") for option in options):
        options.append(str(corpus))
    atheris = _atheris()
    atheris.Setup([sys.argv[0], *options], target.run)
    atheris.Fuzz()


def _atheris() -> Any:
    return import_module("atheris")  # it has no types


def _as_word(word: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def _targets(arguments: list[str]) -> Any:
    """The module of the targets. A finding that is run again needs no instruments to guide it, and
    they take ten seconds."""
    if all(argument.startswith("-") for argument in arguments):
        return instrumented()
    return import_module("tests.fuzzing.targets")


if __name__ == "__main__":
    work(_targets(sys.argv[3:]), sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
