"""Errors of the tasks' commands: missing, damaged and incomplete files of the data end in one line."""

import subprocess
import sys

import pytest

from tests.paths import ROOT
from tests.tools.task_errors import (
    ANSWERS,
    CAPTIONS,
    LIST,
    QUESTIONS,
    SHAPES,
    STATEMENTS,
    arguments,
    check_one_line,
    edit,
    overwrite,
    remove,
    remove_first,
)

# DATA stands for the folder of the data.
CASES = {
    "empty question": (
        "test vqa",
        edit(QUESTIONS, lambda entry: entry.update(question=" ")),
        r"questions_val2017.json', question 0: 'question' is empty \(' '\): remove",
    ),
    "empty caption": (
        "train captioning",
        edit(CAPTIONS, lambda entry: entry["sentences"][0].update(raw="")),
        r"captions_train2017.json', image 0: 'raw' is empty .* remove",
    ),
    "empty statement": (
        "test nlvr2",
        edit(STATEMENTS, lambda entry: entry.update(sentence="\t")),
        "dev.json', line 1: 'sentence' is empty .* remove",
    ),
    "empty query": (
        "test retrieval",
        edit(CAPTIONS, lambda entry: entry["sentences"][0].update(raw="")),
        r"captions_val2017.json', image 0: 'raw' is empty .* remove",
    ),
    "image of a question missing": (
        "test vqa",
        remove_first("val2017", ".jpg"),
        r"questions_val2017.json': image 1 is not in 'DATA/val2017': set data_root",
    ),
    "image of a caption missing": (
        "train captioning",
        remove_first("train2017", ".jpg"),
        r"captions_train2017.json', image 0: image 'DATA/train2017/\d+.jpg' does not exist: set data_root",
    ),
    "image of a statement missing": (
        "test nlvr2",
        remove_first("nlvr2/images/dev", "img1.png"),
        r"dev.json', line 1: image '.*img1.png' does not exist: set data_root",
    ),
    "folder of a class missing": (
        "train imagenet",
        remove("classes/train/star"),
        "train_dataloader: 'DATA/classes/train' has 5 folders, .* 6 classes: no folder for 'star'; give one folder per class",
    ),
    "answer list missing": ("test vqa", remove(LIST), "answers 'DATA/vqa/answers.txt' cannot be read .* give a file"),
    "questions cut off": ("test vqa", overwrite(QUESTIONS, 0.5), r"questions_val2017.json' is not JSON \(Unterm.* is damaged"),
    "answers cut off": ("test vqa", overwrite(ANSWERS, 0.5), r"annotations_val2017.json' is not JSON .* is damaged"),
    "captions cut off": ("train captioning", overwrite(CAPTIONS, 0.5), r"captions_train2017.json' is not JSON .* is damaged"),
    "statements cut off": ("test nlvr2", overwrite(STATEMENTS, 0.5), r"dev.json', line \d+ is not JSON .* is damaged"),
    "a list": (
        "test retrieval",
        overwrite(CAPTIONS, b"[1]"),
        "contains a JSON list, not an object: check that it is the right file",
    ),
    "an empty file": ("train nlvr2", overwrite(STATEMENTS, b""), "train.json' has no entries: check that it is the right file"),
    "no questions": (
        "test vqa",
        overwrite(QUESTIONS, b'{"questions": []}'),
        "questions_val2017.json' has no questions: check that it is the right file",
    ),
    "odd questions": (
        "test vqa",
        overwrite(QUESTIONS, b'{"questions": {"a": 1}}'),
        "'questions' has the type dict: .* another format",
    ),
    "question without image_id": (
        "test vqa",
        edit(QUESTIONS, lambda entry: entry.pop("image_id")),
        "questions_val2017.json', question 0 has no 'image_id': the file is damaged",
    ),
    "annotation without answers": (
        "test vqa",
        edit(ANSWERS, lambda entry: entry.pop("answers")),
        "annotations_val2017.json', annotation 0 has no 'answers': the file is damaged",
    ),
    "nobody answered": (
        "test vqa",
        edit(ANSWERS, lambda entry: entry.update(answers=[])),
        r"annotations_val2017.json': question \d+ has 0 answers: give 10, one per person",
    ),
    "image without filename": (
        "test captioning",
        edit(CAPTIONS, lambda entry: entry.pop("filename")),
        "captions_val2017.json', image 0 has no 'filename': the file is damaged",
    ),
    "folder of another kind": (
        "test captioning",
        edit(CAPTIONS, lambda entry: entry.update(filepath=7)),
        "captions_val2017.json', image 0: 'filepath' has the type int: the file is damaged",
    ),
    "vocabulary missing": (
        "test nlvr2",
        remove("texts.spm"),
        "test_dataloader: text tokenizer '.*' cannot be read: .* beit3.spm",
    ),
    "vocabulary missing for captions": (
        "test captioning",
        remove("texts.spm"),
        "model: text tokenizer '.*' cannot be read: No",
    ),
    "no vocabulary": (
        "train retrieval",
        lambda data: (data / "texts.spm").write_text("a\nb\n"),
        "train_dataloader: text tokenizer 'DATA/texts.spm' is not a SentencePiece model.* set tokenizer to",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_ends_in_one_line(case, task_data, call_task):
    command, damage, message = CASES[case]
    if damage is not None:
        damage(task_data)
    code, error, _ = call_task(*command.split())
    check_one_line(code, error, message)


def test_as_a_stranger_runs_it(task_data):
    remove("texts.spm")(task_data)
    command = [sys.executable, str(ROOT / "tools" / "train.py"), *arguments("train", "nlvr2")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: train_dataloader: text tokenizer '{SHAPES}/texts.spm' cannot be")
