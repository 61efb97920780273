"""Folding: of the lines of a row the best, in any order of reading."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.batch.making import line, question
from tokenwire import LocalProtocolError
from tokenwire.batch.folding import Fold, collect, ids_of, status
from tokenwire.batch.lines import Line, began_line, read_line

KINDS = st.sampled_from(["complete", "truncated", "bad_request"])


def read(data: bytes) -> Line:
    found = read_line(data)
    assert isinstance(found, Line)
    return found


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),  # row
            st.sampled_from(["Hello", "Changed"]),  # what it asks
            KINDS,
            st.integers(1, 3),  # when
            st.sampled_from(["part-1", "part-2", "part-3"]),
        ),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_reading_does_not_matter(
    said: list[tuple[str, str, str, int, str]], random: object
) -> None:
    lines = [
        (part, number, read(line(question(1, row, prompt), kind, started=float(when))))
        for number, (row, prompt, kind, when, part) in enumerate(said)
    ]
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    folds = [Fold(), Fold()]
    for fold, order in zip(folds, (lines, shuffled), strict=True):
        for part, number, each in order:
            fold.add(part, number, each)
    assert folds[0].ids() == folds[1].ids()
    for row in folds[0].ids():
        best = folds[0].best(row)
        assert best == folds[1].best(row)
        assert best is not None
        of_row = [(part, number, each) for part, number, each in lines if each.custom_id == row]
        newest = max(of_row, key=lambda found: (found[2].started, found[0], found[1]))[2]
        rivals = [each for _, _, each in of_row if each.asked == newest.asked]
        assert best.asked == newest.asked
        assert best.complete == any(each.is_complete for each in rivals)


def test_of_a_row_the_complete_answer_to_its_newest_question_wins() -> None:
    fold = Fold()
    ask, changed = question(1, "a"), question(1, "a", "Changed")
    for number, data in enumerate(
        [
            line(ask, started=1.0),
            line(ask, "truncated", started=2.0),
        ]
    ):
        fold.add("p", number, read(data))
    best = fold.best("a")
    assert best is not None
    assert best.complete
    fold.add("p", 2, read(line(changed, "truncated", started=3.0)))
    best = fold.best("a")
    assert best is not None
    assert best.word == "truncated"
    assert fold.best("b") is None


def folder(path: Path) -> Path:
    """A journal of three parts, which overlap."""
    parts = {
        "part-b.jsonl": [
            line(question(1, "q1"), "truncated", started=3.0),
            line(question(2, "q2")),
        ],
        "part-a.jsonl": [line(question(1, "q1"), started=2.0), began_line(["q9"], "part-a")],
        "part-c.jsonl": [line(question(3, "q3"), "bad_request"), b""],
    }
    path.mkdir()
    for name, lines in parts.items():
        (path / name).write_bytes(b"".join(each + b"\n" for each in lines))
    (path / "part-a.jsonl").open("ab").write(b'{"torn')
    (path / "notes.txt").write_bytes(b"not a part")
    return path


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_collect_in_the_order_of_the_questions(tmp_path: Path) -> None:
    source, output = folder(tmp_path / "answers"), tmp_path / "final.jsonl"
    like = tmp_path / "questions.jsonl"
    like.write_text(
        '\ufeff{"custom_id":"q3"}\n\n{"custom_id":"q1"}\n{"custom_id":"q1"}\n{"custom_id":"q0"}\nx'
    )
    summary = collect(source, output, like=like)
    lines = [json.loads(each) for each in output.read_text().splitlines()]
    assert [each["custom_id"] for each in lines] == ["q3", "q1"]
    assert [each["tokenwire"]["outcome"] for each in lines] == ["bad_request", "complete"]
    assert summary.missing == ["line-000004", "q0", "line-000006"]
    assert summary.outcomes == {"bad_request": 1, "complete": 1}
    assert not summary.is_complete
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "answers",
        "final.jsonl",
        "questions.jsonl",
    ]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_collect_by_ids_and_status(tmp_path: Path) -> None:
    source, output = folder(tmp_path / "answers"), tmp_path / "final.jsonl"
    assert collect(source, output).outcomes == status(source).outcomes
    ids = [json.loads(each)["custom_id"] for each in output.read_text().splitlines()]
    assert ids == ["q1", "q2", "q3"]


def test_a_key_that_is_not_known_is_kept(tmp_path: Path) -> None:
    source, output = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    data = b'{"custom_id":"a","response":{"status_code":200},"error":null,"ours":{"x":1}}\n'
    source.write_bytes(data)
    assert collect(source, output).is_complete
    assert output.read_bytes() == data


def test_what_can_t_be_collected(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    with pytest.raises(LocalProtocolError, match="there is no journal"):
        collect(source, tmp_path / "b.jsonl")
    source.write_bytes(line(question(1, "q1")) + b"\n{\n")
    with pytest.raises(LocalProtocolError, match="line 2 is broken"):
        collect(source, tmp_path / "b.jsonl")
    assert collect(source, tmp_path / "b.jsonl", skip_broken=True).outcomes == {"complete": 1}
    with pytest.raises(LocalProtocolError, match="can't be written"):
        collect(source, tmp_path / "none" / "b.jsonl", skip_broken=True)
    with pytest.raises(LocalProtocolError, match="can't be read"):
        collect(source, tmp_path / "c.jsonl", like=tmp_path / "none", skip_broken=True)


def test_ids_of_rows() -> None:
    rows = [b'{"custom_id":5}', b'{"custom_id":true}', b'{"prompt":"x"}', b'{"custom_id":[]}']
    assert list(ids_of(rows)) == ["5", "line-000002", "line-000003", "line-000004"]
