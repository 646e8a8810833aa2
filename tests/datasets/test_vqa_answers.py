import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmbeit3.datasets.vqa_answers import build_answers, write_answers
from mmbeit3.errors import UserError
from mmbeit3.text.answers import normalize_answer
from mmbeit3.text.names import read_names
from tests.datasets.made import write


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Yes", "yes"),
        ("the Red  car.", "red car"),
        ("two", "2"),
        ("None", "0"),
        ("dont know", "don't know"),
        ("couldntve", "couldntve"),
        ("couldnt've", "couldn't've"),
        ("black/white", "black white"),
        ("black / white", "black  white".replace("  ", " ")),
        ("1,000", "1000"),
        ("t-shirt, 1,000", "tshirt 1000"),
        ("3.5", "3.5"),
        ("a\tb\nc", "b c"),
        (" ", ""),
    ],
)
def test_normalised(answer, expected):
    assert normalize_answer(answer) == expected


WORDS = "dont couldnt've yall'll Somebody'd ten a The 1,000 3.5 red . , ; / - ! ' ' it's its hes none"


@given(st.lists(st.sampled_from([*WORDS.split(), " ", "\n"]), max_size=12).map("".join) | st.text(max_size=20))
@example(WORDS)
@example("an apple, or two?")
def test_equals_the_reader_of_mmpretrain(answer):
    reference = pytest.importorskip("mmpretrain.evaluation.metrics.vqa").VQAAcc()
    assert normalize_answer(answer) == reference._process_answer(answer)


def annotations(path, answers):
    return write(path, {"annotations": [{"multiple_choice_answer": answer} for answer in answers]})


def test_list_in_order_of_first_appearance(tmp_path):
    train = annotations(tmp_path / "train.json", ["blue", "Red", *["two"] * 9, *["red"] * 7])
    val = annotations(tmp_path / "val.json", ["red", "blue", *["never"] * 8, *["2"] * 3])
    assert build_answers([train, val]) == ["red", "2"]
    assert build_answers([train, val], min_count=2) == ["blue", "red", "2", "never"]
    write_answers(["red", 'say "2"'], tmp_path / "answers.txt")
    assert read_names(tmp_path / "answers.txt", "answers") == ("red", 'say "2"')


def test_errors(tmp_path):
    with pytest.raises(UserError, match="no answer occurs 9 times among 1 annotations"):
        build_answers([annotations(tmp_path / "a.json", ["red"])])
    with pytest.raises(UserError, match=r"b\.json', annotation 0 has no 'multiple_choice_answer'"):
        build_answers([write(tmp_path / "b.json", {"annotations": [{"answer": 1}]})])
    with pytest.raises(UserError, match=r"c\.json' has no 'annotations'"):
        build_answers([write(tmp_path / "c.json", {"questions": []})])
