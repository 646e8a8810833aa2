"""Errors of the inferencers: bad calls, configs and checkpoints, unreadable images, and code inside of checkpoints."""

import subprocess
from copy import deepcopy

import pytest
import torch

from mmbeit3.errors import UserError
from mmbeit3.inference import CaptionInferencer, ClassificationInferencer, VQAInferencer
from tests.inference.made import NETWORK
from tests.inference.tasks import ANSWERS, CLASSES, QUESTIONS


def test_texts_that_are_none(build, images):
    ask = build("vqa")
    for questions, match in (
        ([], "the list of questions is empty: give at least one"),
        (None, "questions have the type NoneType"),
        (["is it?", " "], "question 1 is empty"),
        ([3], "question 0 is not a string but int"),
    ):
        with pytest.raises(UserError, match=match):
            ask(images[0], questions)
    for size in (0, -1, 1.5, None):
        with pytest.raises(UserError, match="batch_size must be a whole number from 1"):
            ask(images[0], "is it?", batch_size=size)


def test_texts_that_the_vocabulary_does_not_know(build, images, caplog):
    ask = build("vqa")
    ask(images[0], ["red", "\u4f60\u597d", "\u597d"])
    assert caplog.text.count("2 of 3 texts (67%) are all unknown to the vocabulary") == 1


def assert_refused_in_one_line(cases):
    for call, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_calls_that_cannot_be_answered(build, images, tmp_path):
    vqa, nlvr2 = build("vqa"), build("nlvr2")
    (tmp_path / "text.png").write_text("no image")
    cases = [
        (lambda: vqa(images[0], ""), r"question 0 is empty \(''\): give at least one word"),
        (lambda: vqa(images[0], ["red", " \n"]), "question 1 is empty"),
        (lambda: vqa(images[0], [3]), "question 0 is not a string but int"),
        (lambda: vqa(images[0], []), "list of questions is empty"),
        (lambda: vqa(images[:3], ["red", "blue"]), "got 3 images, 2 questions: give the same number of each, or one for all"),
        (lambda: vqa(images[0], "red", top_k=0), "top_k must be at least 1, got 0"),
        (lambda: vqa(images[0], "\ud800"), "not valid Unicode"),
        (lambda: vqa(tmp_path / "absent.png", "red"), r"absent\.png' does not exist"),
        (lambda: vqa([images[0], tmp_path / "text.png"], "red", batch_size=2), r"text\.png' is not an image or is damaged"),
        (lambda: vqa(images[0], "red", out_dir=tmp_path / "text.png"), "for pictures cannot be created"),
        (lambda: nlvr2(images, images[:2], "red"), "got 5 left, 2 right, 1 sentences"),
        (lambda: nlvr2(images[0], images[1], "  "), "sentence 0 is empty"),
    ]
    assert_refused_in_one_line(cases)


def test_what_cannot_be_built(trained, tokenizer, tmp_path):
    cfg, path = trained("vqa")
    other = trained("nlvr2")[1]
    unnamed, textless, unknown = deepcopy(cfg), deepcopy(cfg), deepcopy(cfg)
    unnamed.model = {"type": "mmbeit3.BEiT3VQA", "network": NETWORK, "num_answers": 5}
    del textless.test_dataloader.dataset.pipeline[2]
    unknown.model = {"type": "mmbeit3.Absent"}
    wordless = deepcopy(trained("captioning")[0])
    wordless.model.mask_id = 41
    del wordless.model["tokenizer"]
    larger = deepcopy(cfg)
    larger.model.answers = [*ANSWERS, "right"]
    evil = tmp_path / "evil.pth"
    torch.save({"state_dict": {}, "run": subprocess.Popen}, evil)
    cases = [
        (lambda: VQAInferencer(tmp_path / "absent.py", path), r"config '.*absent\.py' does not exist"),
        (lambda: VQAInferencer(cfg, tmp_path / "absent.pth"), r"checkpoint '.*absent\.pth' does not exist"),
        (lambda: VQAInferencer(cfg, evil), "was refused: it contains a Python object"),
        (
            lambda: VQAInferencer(cfg, other),
            r"belongs to another task: it lacks 10 of the model's tensors, such as pooler\.norm\.weight",
        ),
        (lambda: VQAInferencer(larger, path), "has another head: head.3.weight has 5 rows in the file and 6 in the model"),
        (lambda: VQAInferencer(*trained("nlvr2")), "VQAInferencer needs a config of BEiT3VQA, but this one is of BEiT3NLVR2"),
        (lambda: ClassificationInferencer(cfg, path), "of BEiT3Classification or BEiT3ZeroShotClassification, but this one"),
        (lambda: VQAInferencer(unnamed, path), "has no list of answers: set model.answers"),
        (lambda: VQAInferencer(textless, path), "VQAInferencer reads texts, but .* no EncodeText: add it"),
        (lambda: VQAInferencer(unknown, path), "the model of the config cannot be built: .*Absent is not in"),
        (lambda: VQAInferencer({"model": {"network": NETWORK}}, path), "the model of the config cannot be built"),
        (lambda: VQAInferencer({}, path), "the config has no model"),
        (lambda: CaptionInferencer(wordless, trained("captioning")[1]), "has no tokenizer to decode captions"),
        (lambda: VQAInferencer(cfg, path, "nonsense"), r"device 'nonsense' cannot be used \("),
    ]
    assert_refused_in_one_line(cases)


def test_a_config_inside_a_checkpoint_is_not_run(trained, images, tmp_path):
    cfg, path = trained("classification")
    state = torch.load(path, weights_only=True)
    mark = tmp_path / "mark"
    text = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    torch.save({**state, "meta": {"cfg": text}, "message_hub": {"runtime_info": {"cfg": text}}}, tmp_path / "with.pth")
    ClassificationInferencer(cfg, tmp_path / "with.pth", "cpu", show_progress=False)(images[0])
    assert not mark.exists()


@pytest.mark.parametrize("task", CLASSES)
def test_a_broken_file_of_a_folder(build, task, images, tmp_path):
    """The result names it, and the predictions of the other images do not change."""
    inferencer = build(task)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, image in zip(paths, images, strict=False):
        path.write_bytes(image.read_bytes())
    more = {"nlvr2": (paths[0], QUESTIONS[0]), "vqa": (QUESTIONS[0],)}.get(task, ())
    wanted = inferencer(paths, *more)
    assert wanted["unreadable"] == {}
    broken = tmp_path / "ab.png"
    broken.write_text("no image")
    (tmp_path / "._a.png").touch()
    for size in (1, 2):
        found = inferencer(tmp_path, *more, batch_size=size)
        assert found["predictions"] == wanted["predictions"]
        assert found["unreadable"] == {str(broken): f"image '{broken}' is not an image or is damaged: give a JPEG or PNG file"}
    with pytest.raises(UserError, match=r"ab\.png' is not an image"):
        inferencer([*paths, broken], *more)
    for path in paths:
        path.unlink()
    with pytest.raises(UserError, match=r"none of 1 inputs can be read, first error: image '.*ab\.png' is not an image"):
        inferencer(tmp_path, *more)
