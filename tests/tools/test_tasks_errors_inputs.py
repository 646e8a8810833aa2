"""Unreadable images and long questions in the tasks' commands, bad input of an inferencer, and official checkpoints."""

import json
import re
from pathlib import Path

import pytest
import torch

from mmbeit3.checkpoint import LAYOUTS
from mmbeit3.errors import UserError
from mmbeit3.inference import VQAInferencer
from tests.tools.task_errors import QUESTIONS, SHAPES, edit, small

UNREADABLE = {
    "vqa": ("val2017", ".jpg", "vqa/score"),
    "nlvr2": ("nlvr2/images/dev", ".png", "accuracy/top1"),
    "captioning": ("val2017", ".jpg", "caption/CIDEr"),
    "retrieval": ("val2017", ".jpg", "retrieval/mean"),
    "imagenet": ("classes/val", ".png", "accuracy/top1"),
}


@pytest.mark.parametrize("task", UNREADABLE)
def test_one_broken_image_is_counted(task, task_data, call_task):
    folder, ending, metric = UNREADABLE[task]
    path = next(path for path in sorted((task_data / folder).rglob(f"*{ending}")))
    path.write_bytes(path.read_bytes()[:30])
    code, error, _ = call_task("test", task)
    assert code == 0, error
    (said,) = re.findall(r"(\d+) of (\d+) samples have an image that cannot be read; they count as wrong", error)
    assert 1 <= int(said[0]) < int(said[1])
    (scores,) = Path("out").glob("*/*.json")
    scores = json.loads(scores.read_text())
    assert scores[f"{metric.split('/')[0]}/unreadable"] == int(said[0])
    assert metric in scores


def test_broken_image_ends_training(task_data, call_task):
    for path in (task_data / "train2017").iterdir():
        path.write_bytes(b"")
    code, error, _ = call_task("train", "captioning")
    assert code == 2
    assert re.search(rf"^error: image '{SHAPES}/train2017/\d+.jpg' is empty \(0 bytes\)\n$", error)


def test_long_question_is_cut_and_said(task_data, call_task):
    edit(QUESTIONS, lambda entry: entry.update(question="is the star red and " * 30))(task_data)
    code, error, _ = call_task("test", "vqa")
    assert code == 0, error
    (line,) = [line for line in error.splitlines() if "is cut" in line]
    assert re.search(r"'question' of sample with question_id \d+ has \d+ tokens and is cut to 48, like all longer texts", line)


def test_inferencers_say_it_in_one_line(task_data):
    photo = str(next((task_data / "val2017").iterdir()))
    ask = VQAInferencer(small("vqa"), "vqa.pth", "cpu", show_progress=False)
    too_long, many_words, fewer = small("vqa"), small("vqa"), small("vqa")
    too_long.test_dataloader.dataset.pipeline[2].update(max_length=80, max_positions=1022)
    many_words.model.network.arch.vocab_size = 20
    fewer.model.answers = ["red", "2"]
    (task_data / "broken.jpg").write_bytes(b"broken")
    wrong = [
        (lambda: VQAInferencer(too_long, "vqa.pth"), "EncodeText has max_length=80 tokens, but .* has 62"),
        (lambda: VQAInferencer(many_words, "vqa.pth"), "texts.spm' has \\d+ ids, more than the 20 rows"),
        (lambda: VQAInferencer(fewer, "vqa.pth"), r"has another head: head.3.weight has \d+ rows in the file and 2"),
        (lambda: VQAInferencer(small("vqa"), "captioning.pth"), "belongs to another task: it lacks"),
        (lambda: ask(photo, " "), r"question 0 is empty \(' '\): give at least one word"),
        (lambda: ask("none.jpg", "red?"), "image 'none.jpg' does not exist"),
        (lambda: ask(task_data / "broken.jpg", "red?"), "broken.jpg' is not an image or is damaged"),
    ]
    for run, message in wrong:
        with pytest.raises(UserError, match=message) as error:
            run()
        assert "\n" not in str(error.value)
    assert ask(photo, "is the star red and " * 30)["predictions"][0]["pred_answer"]
    (task_data / "texts.spm").unlink()
    with pytest.raises(UserError, match=r"texts.spm' cannot be read: .* set tokenizer to the released"):
        VQAInferencer(small("vqa"), "vqa.pth")


def test_official_file_is_tested(task_data, call_task, task_files):
    state = torch.load(task_files / "vqa.pth", weights_only=True)["state_dict"]
    ours = {name.removeprefix("network."): tensor for name, tensor in state.items()}
    torch.save({"model": LAYOUTS["official"].to_theirs(ours)}, "official.pth")
    scores = []
    for checkpoint in ("official.pth", "vqa.pth"):
        code, error, log = call_task("test", "vqa", checkpoint=checkpoint)
        assert code == 0, error
        scores.append(re.findall(r"vqa: .*score ([\d.]+)", log))
    assert scores[0] == scores[1]
    assert scores[0]
