"""Demo of the five tasks on shapes: fine-tune a pretrained tiny BEiT-3 and compare each score with that of guessing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS

from mmbeit3.demos import task_examples
from mmbeit3.demos.training import last_checkpoint, make_plain_shapes, print_end, train_config
from mmbeit3.errors import UserError
from mmbeit3.evaluation import CaptionScores
from mmbeit3.evaluation.metrics.chance import most_frequent, most_frequent_of, random_recall
from mmbeit3.evaluation.metrics.vqa_score import agreement
from mmbeit3.inference.loading import build_trained
from mmbeit3.runner.config import read_config
from mmbeit3.visualization import Figure, Section, write_report
from mmbeit3.visualization.curves import draw_curve, read_scalars

__all__ = ["TASKS", "run_demo"]

OUT = Path("work_dirs/tasks-demo")


def entries(cfg: Config, split: str) -> list[dict]:
    """Return the annotations of all samples of a config's dataset, without images."""
    data = DATASETS.build(cfg[f"{split}_dataloader"].dataset)
    return [data.get_data_info(index) for index in range(len(data))]


def guess_answers(cfg: Config) -> dict[str, float]:
    """Score two guesses for VQA: the most frequent training answer overall, and the most frequent one to each question."""
    train = [(entry["question"], entry["gt_answers"][0]) for entry in entries(cfg, "train")]
    common, common_for = most_frequent(answer for _, answer in train), most_frequent_of(train)
    val = entries(cfg, "val")
    always = [agreement(common, entry["gt_answers"]) for entry in val]
    per_question = [agreement(common_for.get(entry["question"], common), entry["gt_answers"]) for entry in val]
    return {
        f"always '{common}'": 100 * sum(always) / len(val),
        "the most frequent answer to each question": 100 * sum(per_question) / len(val),
    }


def guess_labels(cfg: Config) -> dict[str, float]:
    """Score guesses for NLVR2 and classification: the most frequent training label, for NLVR2 also that of each statement."""
    train = [(entry.get("text"), entry["gt_label"]) for entry in entries(cfg, "train")]
    common, common_for = most_frequent(label for _, label in train), most_frequent_of(train)
    val = [(entry.get("text"), entry["gt_label"]) for entry in entries(cfg, "val")]
    scores = {"always the most frequent": 100 * sum(label == common for _, label in val) / len(val)}
    if val[0][0] is not None:
        right = sum(common_for.get(text, common) == label for text, label in val)
        scores["the most frequent for each statement"] = 100 * right / len(val)
    return scores


def guess_caption(cfg: Config) -> dict[str, float]:
    """Score a guess for captioning: the most frequent training caption for all images."""
    common = most_frequent(entry["gt_caption"] for entry in entries(cfg, "train"))
    metric = CaptionScores()
    val = entries(cfg, "val")
    metric.process(None, [{**entry, "pred_caption": common} for entry in val])
    return {f"always '{common}'": metric.evaluate(len(val))["caption/CIDEr"]}


def guess_ranking(cfg: Config) -> dict[str, float]:
    """Score random guessing for retrieval: the mean recall of random rankings."""
    images, texts = (DATASETS.build(part) for part in cfg.val_dataloader.dataset.datasets)
    owners = [texts.get_data_info(index)["image_id"] for index in range(len(texts))]
    texts_per_image = [owners.count(images.get_data_info(index)["image_id"]) for index in range(len(images))]
    topk = (1, 5, 10)
    recalls = random_recall(texts_per_image, len(texts), topk) + random_recall([1] * len(texts), len(images), topk)
    return {"random order": sum(recalls) / len(recalls)}


@dataclass(frozen=True)
class Task:
    """A task of the demo.

    Attributes:
        title: title in the report.
        config: name of the config.
        key: key of the score in the log.
        score: name of the score in tables.
        guess: function that returns the scores of guessing.
        show: function that returns figures of examples.
    """

    title: str
    config: str
    key: str
    score: str
    guess: Callable[[Config], dict[str, float]]
    show: Callable[[BaseModel, Config], list[list[Figure]]]


TASKS: Mapping[str, Task] = {
    "vqa": Task(
        "Questions about images",
        "mmbeit3::vqa/beit3-tiny_vqa_shapes.py",
        "vqa/score",
        "VQA score in percent",
        guess_answers,
        task_examples.show_answers,
    ),
    "imagenet": Task(
        "Classes of single things",
        "mmbeit3::imagenet/beit3-tiny_classes_shapes.py",
        "accuracy/top1",
        "accuracy in percent",
        guess_labels,
        task_examples.show_classes,
    ),
    "nlvr2": Task(
        "Statements about two images",
        "mmbeit3::nlvr2/beit3-tiny_nlvr2_shapes.py",
        "accuracy/top1",
        "accuracy in percent",
        guess_labels,
        task_examples.show_statements,
    ),
    "retrieval": Task(
        "Retrieval of texts by images and of images by texts",
        "mmbeit3::retrieval/beit3-tiny_retrieval_shapes.py",
        "retrieval/mean",
        "mean of recall at 1, 5 and 10 in percent",
        guess_ranking,
        task_examples.show_retrieval,
    ),
    "captioning": Task(
        "Captions by beam search",
        "mmbeit3::captioning/beit3-tiny_captioning_shapes.py",
        "caption/CIDEr",
        "CIDEr",
        guess_caption,
        task_examples.show_captions,
    ),
}
"""Tasks by name."""


def check_start(names: list[str]) -> None:
    """Check that the pretrained weights of the tasks exist.

    Raises:
        UserError: if they do not exist.
    """
    for name in names:
        start = read_config(TASKS[name].config).model.init_cfg.checkpoint
        if not Path(start).is_file():
            raise UserError(f"pretrained weights '{start}' do not exist: create them with 'make pretrain-demo'")


def train_task(name: str, task: Task) -> Section:
    """Train a task, print its scores, and return a section of the report with examples."""
    start = time.monotonic()
    work_dir = train_config(task.config, OUT / name, f"training {name}")
    minutes = (time.monotonic() - start) / 60
    score = [line[task.key] for line in read_scalars(work_dir) if task.key in line][-1]
    weights = last_checkpoint(work_dir)
    cfg = read_config(task.config)
    model = build_trained(cfg, weights)
    guesses = task.guess(cfg)
    print(
        f"{task.title}: {task.score} {score:.1f}; guessing: "
        + ", ".join(f"{how} {value:.1f}" for how, value in guesses.items())
    )
    scores = {task.score: score} | {f"guessing: {how}": value for how, value in guesses.items()}
    curve = [Figure(draw_curve(read_scalars(work_dir)), "training loss")]
    text = (
        f"Config {task.config}, weights {weights}, {minutes:.1f} minutes of training and evaluation. "
        "Scores and examples are from held-out images."
    )
    return Section(task.title, text, scores, [curve, *task.show(model, cfg)])


def run_demo(names: list[str]) -> None:
    """Train the tasks, and write the report.

    Args:
        names: keys of :data:`TASKS`.

    Raises:
        UserError: if the pretrained weights do not exist, or a training fails.
    """
    start = time.monotonic()
    check_start(names)
    make_plain_shapes()
    sections = []
    for name in names:
        sections.append(train_task(name, TASKS[name]))
        write_report(OUT / "report.html", "mmbeit3: five tasks on shapes", sections)
    print_end(OUT / "report.html", start)
