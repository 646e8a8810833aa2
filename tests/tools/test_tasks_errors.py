"""The tasks through the commands, with what strangers give them: each ends in one line, or counts what it could not read."""

import importlib.machinery
import itertools
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmbeit3.checkpoint import LAYOUTS
from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.datasets.task_transforms import load_tokenizer
from mmbeit3.errors import UserError
from mmbeit3.inference import VQAInferencer
from mmbeit3.text import train_text_tokenizer
from tests.paths import ROOT

pytest.importorskip("mmpretrain")
pytest.importorskip("sentencepiece")

CONFIGS = {
    "vqa": "vqa/beit3-tiny_vqa_shapes.py",
    "nlvr2": "nlvr2/beit3-tiny_nlvr2_shapes.py",
    "captioning": "captioning/beit3-tiny_captioning_shapes.py",
    "retrieval": "retrieval/beit3-tiny_retrieval_shapes.py",
    "imagenet": "imagenet/beit3-tiny_classes_shapes.py",
}
SHAPES = Config.fromfile(ROOT / "configs" / "_base_" / "tasks_shapes.py").shapes
"""Where the configs have their data."""
ARCH = {"embed_dims": 48, "num_layers": 2, "num_heads": 3, "ffn_dims": 96}
QUESTIONS, ANSWERS = "vqa/questions_{}2017.json", "vqa/annotations_{}2017.json"
CAPTIONS, STATEMENTS, LIST = "captions_{}2017.json", "nlvr2/{}.json", "vqa/answers.txt"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data of all tasks in the official formats, and a checkpoint for each."""
    folder = tmp_path_factory.mktemp("tasks")
    shapes = make_shapes_dataset(folder / SHAPES, train=8, val=4, size=64)
    train_text_tokenizer((shapes / "texts_train.txt").read_text().splitlines(), shapes / "texts.spm", 45)
    for task, path in CONFIGS.items():
        cfg = Config.fromfile(ROOT / "configs" / path)
        init_default_scope(cfg.default_scope)
        cfg.model.network.arch.update(ARCH)
        # What the config names relative to where it is run from.
        for key in ("answers", "tokenizer"):
            if key in cfg.model:
                cfg.model[key] = str(folder / cfg.model[key])
        del cfg.model["init_cfg"]
        torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, folder / f"{task}.pth")
    return folder


@pytest.fixture
def data(made, tmp_path, monkeypatch):
    """A copy of the data to be spoiled, where commands are run."""
    load_tokenizer.cache_clear()
    # MMEngine formats the whole config as text several times, which would take most of the time here.
    monkeypatch.setattr(Config, "pretty_text", property(repr))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path / SHAPES


NUMBERS = itertools.count()
"""MMEngine keeps what belongs to an experiment, which it names by the second."""


def arguments(tool, task, *options, checkpoint=None):
    options = [f"experiment_name=errors_{next(NUMBERS)}", *options]
    options = [f"model.network.arch.{name}={value}" for name, value in ARCH.items()] + options
    loaders = ("test",) if tool == "test" else ("train", "val")
    options += [f"{name}_dataloader.{setting}" for name in loaders for setting in ("num_workers=0", "persistent_workers=False")]
    if tool == "train":
        options += ["train_cfg.max_epochs=1", "train_dataloader.batch_size=4"]
        if not any(option.startswith("model.init_cfg") for option in options):
            options.append("model.init_cfg=None")
    config = str(ROOT / "configs" / CONFIGS[task])
    first = [config, str(checkpoint or f"{task}.pth")] if tool == "test" else [config]
    return [*first, "--work-dir", "out", "--cfg-options", *map(str, options)]


@pytest.fixture
def call(run_tool):
    """Call a command for a task; returns its exit status, and what it wrote to stderr and to stdout."""

    def calling(tool, task, *options, **kwargs):
        code, output = run_tool(tool, *arguments(tool, task, *options, **kwargs))
        return code, output.err, output.out

    return calling


def edit(pattern, change, splits=("train", "val")):
    """Change the entries of an annotation file, of whatever list they are in."""

    def editing(data):
        for split in splits:
            path = data / pattern.format("dev" if pattern == STATEMENTS and split == "val" else split)
            if pattern == STATEMENTS:
                lines = [json.loads(line) for line in path.read_text().splitlines()]
                change(lines[0])
                path.write_text("\n".join(map(json.dumps, lines)))
            else:
                content = json.loads(path.read_text())
                change(next(value for value in content.values() if isinstance(value, list))[0])
                path.write_text(json.dumps(content))

    return editing


def overwrite(pattern, content):
    """Content in the place of annotation files; a share of them, if it is a number."""

    def editing(data):
        for split in ("train", "val"):
            path = data / pattern.format("dev" if pattern == STATEMENTS and split == "val" else split)
            whole = path.read_bytes()
            path.write_bytes(whole[: int(len(whole) * content)] if isinstance(content, float) else content)

    return editing


def remove(path):
    def removing(data):
        if (data / path).is_dir():
            shutil.rmtree(data / path)
        else:
            (data / path).unlink()

    return removing


def remove_first(folder, ending):
    def removing(data):
        next(path for path in sorted((data / folder).rglob(f"*{ending}"))).unlink()

    return removing


def shorten_answers(data):
    (data / LIST).write_text("\n".join((data / LIST).read_text().splitlines()[:-2]) + "\n")


# DATA stands for the folder of the data.
CASES = {
    "question longer than the table": (
        "train vqa train_dataloader.dataset.pipeline.1.max_length=80 train_dataloader.dataset.pipeline.1.max_positions=1022",
        None,
        "train_dataloader: EncodeText has max_length=80 tokens, but .* has 62: set max_length",
    ),
    "longer than the pipeline says": (
        "train vqa train_dataloader.dataset.pipeline.1.max_length=80",
        None,
        r"EncodeText: max_length is 80: .* to 62|has 62",
    ),
    "caption longer than the table": ("test captioning model.max_length=80", None, "max_length must be from 4 to 63"),
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
    "wrong folder of images": (
        "train retrieval train_dataloader.dataset.data_root=elsewhere",
        None,
        "train_dataloader: data folder 'elsewhere' does not exist: set data_root",
    ),
    "wrong data_prefix": (
        "test nlvr2 test_dataloader.dataset.data_prefix.img_path=nlvr2/photos",
        None,
        r"folder 'DATA/nlvr2/photos' \(data_prefix.img_path\) does not exist: set",
    ),
    "folder of another split": (
        "test nlvr2 test_dataloader.dataset.data_prefix.img_path=val2017",
        None,
        r"image 'DATA/val2017/dev-.*' does not exist \(\d+ other images are missing, too\): set data_root",
    ),
    "folder of a class missing": (
        "train imagenet",
        remove("classes/train/star"),
        "train_dataloader: 'DATA/classes/train' has 5 folders, .* 6 classes: no folder for 'star'; give one folder per class",
    ),
    "classes of another number": ("train imagenet model.network.num_classes=9", None, "has 9: set its num_classes to 6"),
    "shorter answer list for a checkpoint": (
        "test vqa",
        shorten_answers,
        r"checkpoint 'vqa.pth' has another head: head.3.weight has (\d+) rows in the file and \d+ in the model. Build",
    ),
    "shorter answer list to start from": (
        "train vqa model.init_cfg.checkpoint=vqa.pth",
        shorten_answers,
        "checkpoint 'vqa.pth' has another head: .* new_head=True",
    ),
    "other answers in model and data": (
        "train vqa model.answers=other.txt",
        lambda _: Path("other.txt").write_text("red\nblue\n"),
        "train_dataloader: VQALabels and the model have different answers",
    ),
    "answer list missing": ("test vqa", remove(LIST), "answers 'DATA/vqa/answers.txt' cannot be read .* give a file"),
    "checkpoint of another task": ("test vqa", lambda data: shutil.copy("nlvr2.pth", "vqa.pth"), "not of this task: it lacks"),
    "Java missing": (
        "test captioning test_evaluator.backend=pycocoevalcap",
        None,
        "needs Java, but 'java' is not on PATH: install it, or use backend='own'",
    ),
    "Java missing in training": (
        "train captioning val_evaluator.backend=pycocoevalcap",
        None,
        "needs Java, but 'java' is not on PATH",
    ),
    "pycocoevalcap missing": (
        "test captioning test_evaluator.backend=pycocoevalcap",
        None,
        "needs that package: pip install pycocoevalcap, or use backend='own'",
    ),
    "unknown backend": (
        "test captioning test_evaluator.backend=meteor",
        None,
        "must be 'own' or 'pycocoevalcap', got 'meteor'",
    ),
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
    "split that is not there": (
        "test captioning test_dataloader.dataset.splits=test,restval",
        None,
        "captions_val2017.json' has no images of split test, restval, but of val",
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
        "train_dataloader: text tokenizer 'DATA/texts.spm' is no SentencePiece model.* set tokenizer to",
    ),
    "vocabulary larger than the table": (
        "train retrieval model.network.arch.vocab_size=20",
        None,
        "texts.spm' has \\d+ ids, more than the 20 rows of the model's word embedding: give the tokenizer",
    ),
    "settings that do not fit": (
        "train vqa data.x=1",
        None,
        "--cfg-options do not fit config '.*': .*; name settings that it has",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_ends_in_one_line(case, data, call, monkeypatch):
    command, spoil, message = CASES[case]
    if spoil is not None:
        spoil(data)
    if "Java" in case:
        there = types.ModuleType("pycocoevalcap")
        there.__spec__ = importlib.machinery.ModuleSpec("pycocoevalcap", None)
        monkeypatch.setitem(sys.modules, "pycocoevalcap", there)
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif "pycocoevalcap" in case:
        monkeypatch.setattr("mmbeit3.evaluation.metrics.captions.find_spec", lambda name: None)
    code, error, _ = call(*command.split())
    assert code == 2, error
    assert error.startswith("error: ")
    assert error.count("\n") == 1, error
    assert re.search(message.replace("DATA", SHAPES), error), error


UNREADABLE = {
    "vqa": ("val2017", ".jpg", "vqa/score"),
    "nlvr2": ("nlvr2/images/dev", ".png", "accuracy/top1"),
    "captioning": ("val2017", ".jpg", "caption/CIDEr"),
    "retrieval": ("val2017", ".jpg", "retrieval/mean"),
    "imagenet": ("classes/val", ".png", "accuracy/top1"),
}


@pytest.mark.parametrize("task", UNREADABLE)
def test_one_broken_image_is_counted(task, data, call):
    folder, ending, metric = UNREADABLE[task]
    path = next(path for path in sorted((data / folder).rglob(f"*{ending}")))
    path.write_bytes(path.read_bytes()[:30])
    code, error, log = call("test", task)
    assert code == 0, error
    (said,) = re.findall(r"(\d+) of (\d+) samples have an image that cannot be read; they count as wrong", log)
    assert 1 <= int(said[0]) < int(said[1])
    (scores,) = Path("out").glob("*/*.json")
    scores = json.loads(scores.read_text())
    assert scores[f"{metric.split('/')[0]}/unreadable"] == int(said[0])
    assert metric in scores


def test_broken_image_ends_training(data, call):
    for path in (data / "train2017").iterdir():
        path.write_bytes(b"")
    code, error, _ = call("train", "captioning")
    assert code == 2
    assert re.search(rf"^error: image '{SHAPES}/train2017/\d+.jpg' is not an image or is damaged\n$", error)


def test_long_question_is_cut_and_said(data, call):
    edit(QUESTIONS, lambda entry: entry.update(question="is the star red and " * 30))(data)
    code, error, log = call("test", "vqa")
    assert code == 0, error
    (line,) = [line for line in log.splitlines() if "is cut" in line]
    assert re.search(r"'question' of sample with question_id \d+ has \d+ tokens and is cut to 48, like all longer texts", line)


def test_as_a_stranger_runs_it(data):
    remove("texts.spm")(data)
    command = [sys.executable, str(ROOT / "tools" / "train.py"), *arguments("train", "nlvr2")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: train_dataloader: text tokenizer '{SHAPES}/texts.spm' cannot be")


def small(task):
    """A task's config with the small network, for an inferencer."""
    cfg = Config.fromfile(ROOT / "configs" / CONFIGS[task])
    cfg.model.network.arch.update(ARCH)
    return cfg


def test_inferencers_say_it_in_one_line(data):
    photo = str(next((data / "val2017").iterdir()))
    ask = VQAInferencer(small("vqa"), "vqa.pth", "cpu", show_progress=False)
    too_long, many_words, fewer = small("vqa"), small("vqa"), small("vqa")
    too_long.test_dataloader.dataset.pipeline[2].update(max_length=80, max_positions=1022)
    many_words.model.network.arch.vocab_size = 20
    fewer.model.answers = ["red", "2"]
    (data / "broken.jpg").write_bytes(b"broken")
    wrong = [
        (lambda: VQAInferencer(too_long, "vqa.pth"), "EncodeText has max_length=80 tokens, but .* has 62"),
        (lambda: VQAInferencer(many_words, "vqa.pth"), "texts.spm' has \\d+ ids, more than the 20 rows"),
        (lambda: VQAInferencer(fewer, "vqa.pth"), r"has another head: head.3.weight has \d+ rows in the file and 2"),
        (lambda: VQAInferencer(small("vqa"), "captioning.pth"), "is not of this task: it lacks"),
        (lambda: ask(photo, " "), r"question 0 is empty \(' '\): give at least a word"),
        (lambda: ask("none.jpg", "red?"), "image 'none.jpg' does not exist"),
        (lambda: ask(data / "broken.jpg", "red?"), "broken.jpg' is not an image or is damaged"),
    ]
    for call, message in wrong:
        with pytest.raises(UserError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
    assert ask(photo, "is the star red and " * 30)["predictions"][0]["pred_answer"]
    (data / "texts.spm").unlink()
    with pytest.raises(UserError, match=r"texts.spm' cannot be read: .* set tokenizer to the released"):
        VQAInferencer(small("vqa"), "vqa.pth")


def test_official_file_is_tested(data, call, made):
    state = torch.load(made / "vqa.pth", weights_only=True)["state_dict"]
    ours = {name.removeprefix("network."): tensor for name, tensor in state.items()}
    torch.save({"model": LAYOUTS["official"].to_theirs(ours)}, "official.pth")
    scores = []
    for checkpoint in ("official.pth", "vqa.pth"):
        code, error, log = call("test", "vqa", checkpoint=checkpoint)
        assert code == 0, error
        scores.append(re.findall(r"vqa/score: ([\d.]+)", log))
    assert scores[0] == scores[1]
    assert scores[0]
