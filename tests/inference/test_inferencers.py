"""Inferencers of all tasks but retrieval: their predictions are the models', whatever the images come as."""

import json
import subprocess
import sys
from copy import deepcopy

import cv2
import numpy as np
import pytest
import torch
from mmengine.infer import BaseInferencer
from PIL import Image

from mmbeit3.errors import UserError
from mmbeit3.inference import CaptionInferencer, ClassificationInferencer, NLVR2Inferencer, VQAInferencer
from mmbeit3.inference.pipeline import Query, load_batch
from tests.datasets.made import CAPTIONS
from tests.inference.made import NETWORK, checkpoint, config, expected

ANSWERS = ["yes", "no", "red", "two", "left"]
NAMES = ["red circle", "blue box", "green"]
MODELS = {
    "vqa": ({"type": "mmbeit3.BEiT3VQA", "answers": ANSWERS}, "question", 1),
    "nlvr2": ({"type": "mmbeit3.BEiT3NLVR2"}, "text", 2),
    "captioning": ({"type": "mmbeit3.BEiT3Captioning", "max_length": 8}, None, 1),
    "classification": ({"type": "mmbeit3.BEiT3Classification", "network": {**NETWORK, "num_classes": 3}}, None, 1),
    "named": ({"type": "mmbeit3.BEiT3NamedClassification", "class_names": NAMES}, None, 1),
    "retrieval": ({"type": "mmbeit3.BEiT3Retrieval"}, "text", 1),
}
CLASSES = {
    "vqa": VQAInferencer,
    "nlvr2": NLVR2Inferencer,
    "captioning": CaptionInferencer,
    "classification": ClassificationInferencer,
    "named": ClassificationInferencer,
}
QUESTIONS = [CAPTIONS[4], "two green triangles", "red", "a blue box under three circles", "the box"]


@pytest.fixture(scope="module")
def trained(tokenizer, tmp_path_factory):
    """Config and checkpoint of a task."""
    folder, made = tmp_path_factory.mktemp("trained"), {}

    def get(task):
        if task not in made:
            model, key, count = MODELS[task]
            if task in ("captioning", "named"):
                model = {**model, "tokenizer": tokenizer}
            cfg = config(model, tokenizer, key, count)
            made[task] = cfg, checkpoint(cfg, folder / f"{task}.pth")
        return made[task]

    return get


@pytest.fixture(scope="module")
def build(trained):
    return lambda task, **kwargs: CLASSES[task](*trained(task), "cpu", show_progress=False, **kwargs)


def arguments(task, images):
    """A call's arguments for five predictions."""
    if task == "nlvr2":
        return images, images[::-1], QUESTIONS
    return (images, QUESTIONS) if task == "vqa" else (images,)


def batch(inferencer, task, images):
    """What the model sees of :func:`arguments`."""
    if task == "nlvr2":
        queries = [Query(pair, text) for *pair, text in zip(images, images[::-1], QUESTIONS, strict=True)]
    elif task == "vqa":
        queries = [Query((image,), text) for image, text in zip(images, QUESTIONS, strict=True)]
    else:
        queries = [Query((image,)) for image in images]
    return load_batch(inferencer.pipeline, queries).inputs["inputs"]


@pytest.mark.parametrize("task", CLASSES)
def test_predictions_are_the_models(build, trained, task, images):
    inferencer = build(task)
    assert isinstance(inferencer, BaseInferencer)
    cfg, path = trained(task)
    found = inferencer(*arguments(task, images))
    assert found["visualization"] == []
    wanted = expected(cfg, path, batch(inferencer, task, images))
    assert len(found["predictions"]) == len(wanted) == 5
    assert json.loads(json.dumps(found["predictions"])) == found["predictions"]
    names = {"vqa": ANSWERS, "nlvr2": ["false", "true"], "named": NAMES}.get(task)
    for number, (one, sample) in enumerate(zip(found["predictions"], wanted, strict=True)):
        assert one["left" if task == "nlvr2" else "image"] == str(images[number])
        if task == "captioning":
            assert one["pred_tokens"] == sample["pred_tokens"]
            assert one["pred_caption"] == sample["pred_caption"]
            continue
        label = int(sample["pred_label"])
        assert one["pred_label"] == label
        assert one["pred_score"] == pytest.approx(float(sample["pred_score"].max()), abs=1e-5)
        if names:
            assert one["pred_answer" if task == "vqa" else "pred_class"] == names[label]
        if task != "nlvr2":
            order = sample["pred_score"].argsort(descending=True).tolist()
            assert [each["label"] for each in one["top"]] == order[:5]
    said = {one["pred_caption" if task == "captioning" else "pred_label"] for one in found["predictions"]}
    assert len(said) > 1, "all the same: the test would show nothing"


def test_several_captions_of_a_least_length(build, images):
    inferencer = build("captioning")
    free = inferencer(images[:3])["predictions"]
    found = inferencer(images[:3], batch_size=2, return_vis=True, min_length=4, num_captions=3)
    for one, alone in zip(found["predictions"], free, strict=True):
        assert list(alone) == ["image", "pred_caption", "pred_tokens"]
        scores = [each["score"] for each in one["pred_captions"]]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert all(len(each["tokens"]) >= 6 for each in one["pred_captions"])
        assert one["pred_captions"][0]["tokens"] == one["pred_tokens"]
        assert one["pred_captions"][0]["caption"] == one["pred_caption"]
        assert inferencer.lines(one) == [each["caption"] for each in one["pred_captions"]]
    assert json.loads(json.dumps(found["predictions"])) == found["predictions"]
    assert inferencer(images[:3])["predictions"] == free
    with pytest.raises(UserError, match=r"num_captions must be a whole number from 1 to 3 \(num_beams is 3\), got 4"):
        inferencer(images[0], num_captions=4)
    with pytest.raises(UserError, match="min_length must be a whole number from 0 to 5 with max_length 8, got 6"):
        inferencer(images[0], min_length=6)


@pytest.mark.parametrize("task", CLASSES)
def test_batch_size_changes_nothing(build, task, images):
    inferencer = build(task)
    one, several = (inferencer(*arguments(task, images), batch_size=size)["predictions"] for size in (1, 3))
    for first, second in zip(one, several, strict=True):
        for name, value in first.items():
            if name == "top":
                assert [each["label"] for each in second[name]] == [each["label"] for each in value]
            else:
                assert second[name] == (pytest.approx(value, abs=1e-5) if isinstance(value, float) else value)


def test_kinds_of_images(build, images):
    inferencer, path = build("vqa"), images[0]
    kinds = [path, str(path), cv2.imread(str(path)), Image.open(path)]
    found = inferencer(kinds, "is the left square red?")["predictions"]
    assert [one["image"] for one in found] == [str(path), str(path), None, None]
    assert all(one["top"] == found[0]["top"] for one in found)
    folder = inferencer(path.parent, "is the left square red?")["predictions"]
    assert [one["image"] for one in folder] == list(map(str, images))
    assert folder[0]["top"] == found[0]["top"]
    single = inferencer(path, "is the left square red?", top_k=2)["predictions"]
    assert single[0]["top"] == found[0]["top"][:2]
    assert len(inferencer(path, QUESTIONS)["predictions"]) == 5


@pytest.mark.parametrize("task", CLASSES)
def test_pictures(build, task, images, tmp_path):
    found = build(task)(*arguments(task, images), return_vis=True, out_dir=tmp_path / "drawn", batch_size=2)
    files = sorted((tmp_path / "drawn").iterdir())
    assert [file.name for file in files] == [f"{i:05d}_{i}.jpg" for i in range(5)]
    for number, (picture, file) in enumerate(zip(found["visualization"], files, strict=True)):
        assert picture.dtype == np.uint8
        assert picture.shape[0] >= 384 + 16 + 20
        # 24 x 40 pixels at a height of 384, twice with a gap for pairs.
        assert picture.shape[1:] == (640 * 2 + 4 if task == "nlvr2" else 640, 3)
        assert picture[190, 150].tolist() == cv2.imread(str(images[number]))[12, 9, ::-1].tolist()
        # An untrained model's caption may be blank.
        assert (picture[384:].min() < 64) == bool(found["predictions"][number].get("pred_caption", "text").strip())
        assert cv2.imread(str(file)).shape == picture.shape


def test_progress(build, images, capsys):
    inferencer = build("classification")
    inferencer(images)
    assert capsys.readouterr().out == ""
    inferencer(images, show_progress=True)
    assert "100%" in capsys.readouterr().out


def test_texts_that_are_none(build, images):
    ask = build("vqa")
    for questions, match in (
        ([], "the list of questions is empty: give at least one"),
        (None, "questions are NoneType"),
        (["is it?", " "], "question 1 is empty"),
        ([3], "question 0 is no text but int"),
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


def test_class_names_of_fixed_classes(build, trained, images, tmp_path):
    unnamed = build("classification")(images[0])["predictions"][0]
    assert unnamed["pred_class"] is None
    assert set(unnamed["top"][0]) == {"label", "score"}
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    named = build("classification", class_names=tmp_path / "names.txt")(images[0])["predictions"][0]
    assert named["pred_class"] == NAMES[unnamed["pred_label"]]
    cfg, path = trained("classification")
    cfg = deepcopy(cfg)
    cfg.test_dataloader.dataset.metainfo = {"classes": NAMES}
    with pytest.raises(UserError, match=r"in another order: name 0 is '.*', and its class 0 '"):
        ClassificationInferencer(cfg, path, "cpu", NAMES[::-1], show_progress=False)
    with pytest.raises(UserError, match="there are 2 class names, but the model has 3 classes: give a name for each"):
        build("classification", class_names=NAMES[:2])
    with pytest.raises(UserError, match="templates are for models that read class names, and BEiT3Classification has"):
        build("classification", templates=["{}"])
    assert ClassificationInferencer(cfg, path, "cpu", show_progress=False)(images[0])["predictions"][0] == named


def test_any_class_names_with_a_model_of_retrieval(trained, images):
    cfg, path = trained("retrieval")
    before = cfg.to_dict()
    with pytest.raises(UserError, match="a retrieval model has no classes of its own: give class_names"):
        ClassificationInferencer(cfg, path, "cpu")
    free = ["blue", "a red fox", "box", "circles"]
    inferencer = ClassificationInferencer(cfg, path, "cpu", free, ["the {}", "{}"], show_progress=False)
    assert cfg.to_dict() == before
    model = {**cfg.model, "type": "mmbeit3.BEiT3NamedClassification", "class_names": free, "templates": ["the {}", "{}"]}
    model["tokenizer"] = cfg.test_dataloader.dataset.pipeline[2].tokenizer
    wanted = expected(config(model, None, None), path, batch(inferencer, "named", images))
    for one, sample in zip(inferencer(images)["predictions"], wanted, strict=True):
        assert one["pred_class"] == free[int(sample["pred_label"])]
        scores = torch.tensor([each["score"] for each in sorted(one["top"], key=lambda each: each["label"])])
        torch.testing.assert_close(scores, sample["pred_score"], atol=1e-5, rtol=0)
    named, weights = trained("named")
    assert ClassificationInferencer(named, weights, "cpu", free).class_names == tuple(free)


def test_config_from_a_file(trained, images, tmp_path):
    cfg, path = trained("vqa")
    cfg.dump(tmp_path / "config.py")
    found = VQAInferencer(str(tmp_path / "config.py"), str(path), "cpu", show_progress=False)(images[0], "red")
    assert found == VQAInferencer(cfg.to_dict(), path, "cpu", show_progress=False)(images[0], "red")


def test_calls_that_cannot_be_answered(build, images, tmp_path):
    vqa, nlvr2 = build("vqa"), build("nlvr2")
    (tmp_path / "text.png").write_text("no image")
    cases = [
        (lambda: vqa(images[0], ""), r"question 0 is empty \(''\): give at least a word"),
        (lambda: vqa(images[0], ["red", " \n"]), "question 1 is empty"),
        (lambda: vqa(images[0], [3]), "question 0 is no text but int"),
        (lambda: vqa(images[0], []), "list of questions is empty"),
        (lambda: vqa(images[:3], ["red", "blue"]), "got 3 images, 2 questions: give as many of each, or one that"),
        (lambda: vqa(images[0], "red", top_k=0), "top_k must be at least 1, got 0"),
        (lambda: vqa(images[0], "\ud800"), "no valid Unicode"),
        (lambda: vqa(tmp_path / "absent.png", "red"), r"absent\.png' does not exist"),
        (lambda: vqa([images[0], tmp_path / "text.png"], "red", batch_size=2), r"text\.png' is not an image or is damaged"),
        (lambda: vqa(images[0], "red", out_dir=tmp_path / "text.png"), "for pictures cannot be made"),
        (lambda: nlvr2(images, images[:2], "red"), "got 5 left, 2 right, 1 sentences"),
        (lambda: nlvr2(images[0], images[1], "  "), "sentence 0 is empty"),
    ]
    for call, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


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
            r"is not of this task: it lacks 10 of the model's tensors, such as pooler\.norm\.weight",
        ),
        (lambda: VQAInferencer(larger, path), "has another head: head.3.weight has 5 rows in the file and 6 in the model"),
        (lambda: VQAInferencer(*trained("nlvr2")), "VQAInferencer wants a config of BEiT3VQA, and this one is of BEiT3NLVR2"),
        (lambda: ClassificationInferencer(cfg, path), "of BEiT3Classification or BEiT3NamedClassification, and this one"),
        (lambda: VQAInferencer(unnamed, path), "model has no answers by name: set model.answers"),
        (lambda: VQAInferencer(textless, path), "VQAInferencer reads texts, but .* no EncodeText: add it"),
        (lambda: VQAInferencer(unknown, path), "the model of the config cannot be built: .*Absent is not in"),
        (lambda: VQAInferencer({"model": {"network": NETWORK}}, path), "the model of the config cannot be built"),
        (lambda: VQAInferencer({}, path), "the config has no model"),
        (lambda: CaptionInferencer(wordless, trained("captioning")[1]), "has no tokenizer to make words of ids"),
        (lambda: VQAInferencer(cfg, path, "nonsense"), r"device 'nonsense' cannot be used \("),
    ]
    for make, message in cases:
        with pytest.raises(UserError, match=message) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_a_config_inside_a_checkpoint_is_not_run(trained, images, tmp_path):
    cfg, path = trained("classification")
    state = torch.load(path, weights_only=True)
    mark = tmp_path / "mark"
    text = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    torch.save({**state, "meta": {"cfg": text}, "message_hub": {"runtime_info": {"cfg": text}}}, tmp_path / "with.pth")
    ClassificationInferencer(cfg, tmp_path / "with.pth", "cpu", show_progress=False)(images[0])
    assert not mark.exists()


def test_importing_the_room_is_cheap():
    code = (
        "import sys, mmbeit3.inference\n"
        "assert not {'torch', 'mmengine', 'sentencepiece', 'cv2'} & set(sys.modules), 'imported'\n"
        "from mmbeit3.inference import VQAInferencer\n"
        "assert not {'sentencepiece', 'mmpretrain', 'mmdet'} & set(sys.modules), 'imported'\n"
        "try:\n    mmbeit3.inference.Absent\nexcept AttributeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "module 'mmbeit3.inference' has no attribute 'Absent'" in done.stdout


@pytest.mark.parametrize("task", CLASSES)
def test_a_broken_file_of_a_folder(build, task, images, tmp_path):
    """It is named, and the others' predictions are those that they would have without it."""
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
    with pytest.raises(UserError, match=r"none of 1 can be answered: image '.*ab\.png' is not an image"):
        inferencer(tmp_path, *more)
