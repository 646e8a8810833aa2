"""Functions that the demos share: train a config with a progress bar, read its scores, and show its predictions."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mmbeit3.cli import next_command
from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.evaluation.published.score_names import percent_scores
from mmbeit3.files import write_atomically
from mmbeit3.inference.comparison import compare_with_truth
from mmbeit3.inference.loading import load_model
from mmbeit3.resources import path_of
from mmbeit3.terminal import format_duration, quiet_terminal
from mmbeit3.text import train_text_tokenizer
from mmbeit3.visualization import Figure, Section
from mmbeit3.visualization.curves import draw_curve, read_scalars

__all__ = [
    "detector_options",
    "last_checkpoint",
    "make_plain_shapes",
    "model_section",
    "print_end",
    "read_scores",
    "show_training",
    "train_config",
    "train_once",
]

_SCORES = {"box AP": "box AP", "box AP50": "box AP50", "mask AP": "mask AP", "mIoU": "mIoU", "aAcc": "pixel accuracy"}
"""Scores in tables, by their names in :func:`~mmbeit3.evaluation.published.score_names.percent_scores`."""

_CAPTIONS = ("image", "ground truth", "prediction")


def make_plain_shapes() -> Path:
    """Create the data of the tiny configs for pretraining and tasks if it does not exist: images, sentences, vocabulary.

    The same texts give the same vocabulary, so weights trained with it stay usable.

    Returns:
        The folder of the data.
    """
    folder = make_shapes_dataset("data/shapes-plain", train=4000, val=200, style="plain")
    if not (vocabulary := folder / "texts.spm").is_file():
        texts = (folder / "texts_train.txt").read_text().splitlines()
        # With so few words, a unigram model would split most of them into small pieces.
        train_text_tokenizer(texts, vocabulary, 200, model_type="bpe")
    return folder


def detector_options(epochs: int, pretrained: Path | None = None) -> dict[str, object]:
    """Return options that change the training length and the initial weights in the config of the shapes detector.

    Args:
        epochs: number of epochs; validation runs after the last one.
        pretrained: checkpoint of pretraining; None for random weights.
    """
    options: dict[str, object] = {
        "train_cfg.max_epochs": epochs,
        "train_cfg.val_interval": epochs,
        "param_scheduler.1.end": epochs,
        "param_scheduler.1.T_max": epochs,
    }
    if pretrained is not None:
        options |= {
            "model.backbone.init_cfg.type": "Pretrained",
            "model.backbone.init_cfg.checkpoint": pretrained,
            # Layer-wise learning rate decay keeps the early pretrained layers close to their weights. Random weights need none.
            "optim_wrapper.paramwise_cfg.layer_decay_rate": 0.7,
        }
    return options


def train_config(
    config: str, work_dir: Path, title: str, options: Mapping[str, object] | None = None, resume: bool = False
) -> Path:
    """Train a config with ``tools/train.py`` and a progress bar.

    Args:
        config: path of the config, or its name after ``mmbeit3::``.
        work_dir: folder for the results.
        title: text before the progress bar.
        options: config settings to change.
        resume: continue from the last checkpoint in ``work_dir``, if there is one.

    Returns:
        ``work_dir``.

    Raises:
        UserError: if training fails.
    """
    command = [sys.executable, str(path_of("tools/train.py")), config, "--work-dir", str(work_dir), "--progress", title]
    if resume and (work_dir / "last_checkpoint").exists():
        command += ["--resume"]
    if options:
        command += ["--cfg-options", *(f"{name}={value}" for name, value in options.items())]
    with subprocess.Popen(command) as process:
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                # The training gets the signal too, and prints how to resume before it ends.
                continue
    if code == 130:
        raise KeyboardInterrupt("the demo was interrupted: start it again")
    if code:
        raise UserError(f"training of config '{config}' failed: see the log in '{work_dir}'")
    return work_dir


def train_once(config: str, work_dir: Path, title: str, options: Mapping[str, object] | None = None) -> dict[str, float]:
    """Train a config to its end if an earlier call did not. An interrupted training continues from its last checkpoint.

    Args:
        config, work_dir, title, options: see :func:`train_config`.

    Returns:
        The last scores in percent, see :func:`read_scores`, and the minutes that the call took which ended the training.
        They are also in ``work_dir/percent.json``.

    Raises:
        UserError: if training fails, or logs no scores.
    """
    done = work_dir / "percent.json"
    if done.exists():
        return dict(json.loads(done.read_text()))
    start = time.monotonic()
    scores = read_scores(train_config(config, work_dir, title, options, resume=True))
    if not scores:
        raise UserError(f"training of config '{config}' logged no scores in '{work_dir}': set train_cfg.val_interval")
    scores["minutes"] = round((time.monotonic() - start) / 60, 1)
    write_atomically(done, json.dumps(scores).encode())
    return scores


def print_end(report: Path, start: float, work_dir: Path | None = None, images: str = "data/shapes/val2017") -> None:
    """Print a demo's report, its total time, and the next command to try.

    Args:
        report: the HTML page.
        start: value of ``time.monotonic()`` at the start.
        work_dir: work dir of a detector or segmentor; None to suggest nothing.
        images: folder of images for it.
    """
    print(f"report in {report}, after {format_duration(time.monotonic() - start)}")
    if work_dir is not None:
        print(f"next: {next_command('predict', str(work_dir), images)}")


def last_checkpoint(work_dir: Path) -> Path:
    """Return the newest checkpoint in a work dir."""
    return Path((work_dir / "last_checkpoint").read_text())


def read_scores(work_dir: Path) -> dict[str, float]:
    """Return the last scores that the training logged, in percent, by their names in tables."""
    final = percent_scores({key: value for line in read_scalars(work_dir) for key, value in line.items()})
    return {label: final[key] for key, label in _SCORES.items() if key in final}


def show_training(config: str, work_dir: Path, count: int = 8) -> list[list[Figure]]:
    """Show the loss curve of a detector or segmentor, and its predictions on validation images.

    Args:
        config: path of the config.
        work_dir: work dir of the training.
        count: number of images.

    Returns:
        Rows for a report: the curve, and for each image the pictures of image, ground truth and prediction.
    """
    with quiet_terminal():
        predictor = load_model(config, last_checkpoint(work_dir))
        pictures = compare_with_truth(predictor.model, predictor.cfg, count)
    rows = [[Figure(draw_curve(read_scalars(work_dir)), "training loss")]]
    rows += [[Figure(*pair, lossy=True) for pair in zip(row, _CAPTIONS, strict=True)] for row in pictures]
    return rows


def model_section(title: str, config: str, work_dir: Path, scores: Mapping[str, float], minutes: float) -> Section:
    """Return the section of a report on a trained detector or segmentor: scores, loss curve and predictions.

    Args:
        title: title of the section.
        config: path of the config, or its name after ``mmbeit3::``.
        work_dir: work dir of the training.
        scores: scores in percent.
        minutes: duration of the training and evaluation.
    """
    weights = work_dir / last_checkpoint(work_dir).name
    text = f"Config {config}, weights {weights}, {minutes:.1f} minutes of training and evaluation."
    return Section(title, text, scores, show_training(config, work_dir))
