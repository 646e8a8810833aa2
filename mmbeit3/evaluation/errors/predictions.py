"""Run a detector or segmentor over its test data, and draw its predictions beside the ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.model import BaseModel
from pycocotools.coco import COCO

from mmbeit3.datasets.checks.pipelines import find_datasets
from mmbeit3.datasets.metainfo import read_metainfo
from mmbeit3.engine.hooks import ConsoleHook
from mmbeit3.errors import UserError
from mmbeit3.evaluation.errors.detection_matches import read_results, read_truth
from mmbeit3.evaluation.metrics.confusion import ConfusionMatrix
from mmbeit3.inference.comparison import build_test_dataset, compare_with_truth
from mmbeit3.runner.build import build_runner
from mmbeit3.runner.running import test
from mmbeit3.runner.weights import load_trained
from mmbeit3.terminal import current_terminal
from mmbeit3.visualization import Figure

__all__ = ["Detections", "Regions", "detect", "draw_examples", "find_metric", "index_images", "segment"]


@dataclass
class Detections:
    """Results of a detector.

    Attributes:
        model: the detector.
        truth: annotations of the dataset's classes.
        results: ``bbox``, and ``segm`` if the metric evaluates masks, to detections.
    """

    model: BaseModel
    truth: COCO
    results: dict[str, COCO]


@dataclass
class Regions:
    """Results of a segmentor.

    Attributes:
        model: the segmentor.
        classes: names of the classes.
        metric: the metric with its confusion matrix.
        scores: scores of the metric.
    """

    model: BaseModel
    classes: tuple[str, ...]
    metric: ConfusionMatrix
    scores: dict[str, float]


def find_metric(cfg: Config) -> dict:
    """Return the ``CocoMetric`` or ``IoUMetric`` of a config's ``test_evaluator``.

    Raises:
        UserError: if the config has neither.
    """
    metrics = cfg.get("test_evaluator") or ()
    for metric in [metrics] if isinstance(metrics, dict) else metrics:
        if metric["type"].split(".")[-1] in ("CocoMetric", "IoUMetric"):
            return metric
    raise UserError("test_evaluator of the config has neither CocoMetric nor IoUMetric: only these metrics are supported")


def detect(cfg: Config, checkpoint: str | Path, folder: Path) -> Detections:
    """Run a detector over its test data, and leave the detections in the folder in COCO's format.

    Raises:
        UserError: if config, checkpoint or data cannot be used.
    """
    metric = find_metric(cfg)
    prefix = folder / "detections"
    cfg.test_evaluator = {**metric, "format_only": True, "outfile_prefix": str(prefix)}
    model, _, _ = _run(cfg, checkpoint)
    dataset = next(find_datasets(cfg.test_dataloader.dataset))
    truth = read_truth(metric["ann_file"], read_metainfo(dataset, cfg.get("default_scope")).get("classes") or ())
    wanted = metric.get("metric", "bbox")
    kinds = [kind for kind in ("bbox", "segm") if kind in ([wanted] if isinstance(wanted, str) else wanted)]
    return Detections(model, truth, {kind: read_results(truth, f"{prefix}.{kind}.json") for kind in kinds})


def segment(cfg: Config, checkpoint: str | Path) -> Regions:
    """Run a segmentor over its test data.

    Raises:
        UserError: if config, checkpoint or data cannot be used.
    """
    cfg.test_evaluator = {"type": "mmbeit3.ConfusionMatrix", "ignore_index": find_metric(cfg).get("ignore_index", 255)}
    model, metric, scores = _run(cfg, checkpoint)
    assert isinstance(metric, ConfusionMatrix)
    return Regions(model, tuple(metric.dataset_meta["classes"]), metric, scores)


def index_images(cfg: Config) -> dict[int | str, int]:
    """Return the index of each image of the test dataset, by its id, or its path for a segmentor."""
    dataset = build_test_dataset(cfg)
    infos = map(dataset.get_data_info, range(len(dataset)))
    return {info.get("img_id", info["img_path"]): index for index, info in enumerate(infos)}


def draw_examples(model: BaseModel, cfg: Config, wanted: list[int], captions: list[str], score: float) -> list[list[Figure]]:
    """Return one row per image: the image, the ground truth and the prediction.

    Args:
        model: the model; it predicts the images once more.
        cfg: config of the model.
        wanted: indices of the images in the test dataset.
        captions: one caption per image.
        score: lowest score of detections that are drawn.
    """
    rows = compare_with_truth(model, cfg, wanted, score)
    return [
        [
            Figure(np.ascontiguousarray(picture), text, lossy=True)
            for picture, text in zip(row, (caption, "ground truth", "prediction"), strict=True)
        ]
        for row, caption in zip(rows, captions, strict=True)
    ]


def _run(cfg: Config, checkpoint: str | Path) -> tuple[BaseModel, object, dict[str, float]]:
    """Test a model; return it with its metric and its scores."""
    cfg.load_from = None
    cfg.launcher = "none"
    runner = build_runner(cfg, ("test",))
    load_trained(runner.model, checkpoint)
    if (terminal := current_terminal()) is not None:
        runner.register_hook(ConsoleHook(terminal, ("test",)))
    scores = test(runner)
    return runner.model, runner.test_loop.evaluator.metrics[0], scores
