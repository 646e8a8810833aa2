"""Run the pretraining demo: vocabulary, image tokenizer and tiny BEiT-3 on shapes, then a detector from its weights."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.demos.training import (
    detector_options,
    last_checkpoint,
    make_plain_shapes,
    print_end,
    read_scores,
    show_training,
    train_config,
)
from mmbeit3.pretrain.evaluation import PartScore, evaluate_pretraining
from mmbeit3.pretrain.hooks import format_reconstruction
from mmbeit3.pretrain.pictures import CodePatches, draw_reconstruction
from mmbeit3.pretrain.pretrainer import BEiT3Pretrainer
from mmbeit3.pretrain.steps import PretrainSteps
from mmbeit3.registry import DATASETS, MODELS
from mmbeit3.runner.config import read_config
from mmbeit3.visualization import Figure, Section, write_report
from mmbeit3.visualization.curves import draw_curve, read_scalars

__all__ = ["run_demo"]

OUT = Path("work_dirs/pretrain-demo")
TOKENIZER = "mmbeit3::pretrain/vqkd-tiny_shapes.py"
PRETRAINING = "mmbeit3::pretrain/beit3-tiny_mdm_shapes.py"
DETECTION = "mmbeit3::shapes/mask-rcnn_beit3-adapter-t_shapes.py"
CAPTIONS = ("image", "masked image", "predicted codes", "true codes")
STEPS = 20
"""Number of steps of validation data for the scores."""
EPOCHS = 1
"""Number of epochs of the detector, instead of three in its config: the demo stays below 15 minutes on a slow machine."""


def load(work_dir: Path, tokenizer: Path) -> tuple[BEiT3Pretrainer, PretrainSteps]:
    """Load the pretrained model and steps of held-out data."""
    cfg = read_config(PRETRAINING)
    cfg.model.tokenizer = {"checkpoint": str(tokenizer)}
    model: BEiT3Pretrainer = MODELS.build(cfg.model)
    model.load_state_dict(read_state_dict(last_checkpoint(work_dir)))
    for stream in cfg.train_dataloader.dataset.streams.values():
        stream.paths = stream.paths.replace("train", "val")
    return model.eval(), DATASETS.build(cfg.train_dataloader.dataset)


def table(scores: dict[str, PartScore]) -> dict[str, str]:
    """Format scores with the baselines of constant predictions."""
    lines = {}
    for part, score in scores.items():
        lines[f"{part}: loss"] = f"{score.loss:.3f}, baseline {score.entropy:.3f} (entropy of the targets)"
        lines[f"{part}: accuracy"] = f"{score.accuracy:.1%}, baseline {score.majority_accuracy:.1%} (most frequent target)"
    return lines


@torch.no_grad()
def pictures(model: BEiT3Pretrainer, data: PretrainSteps, count: int = 6) -> tuple[list[list[Figure]], dict[str, str]]:
    """Draw reconstructions of masked images, and format those of masked texts."""
    patches = CodePatches(model.tokenizer.num_codes)
    steps = [step["inputs"] for step in islice(data, STEPS)]
    predictions = [model(inputs, mode="predict") for inputs in steps]
    for inputs, results in zip(steps, predictions, strict=True):
        for name in ("images", "pairs"):
            masked = inputs[name]["masked_positions"]
            patches.add(inputs[name]["image"], results[f"{name}.codes"], (masked.shape[1], masked.shape[2]))
    pairs, results = steps[0]["pairs"], predictions[0]
    samples = zip(pairs["image"], pairs["masked_positions"], results["pairs.codes"], results["pairs.image"], strict=True)
    rows = [
        [Figure(picture, caption) for picture, caption in zip(draw_reconstruction(*sample, patches), CAPTIONS, strict=True)]
        for sample in islice(samples, count)
    ]
    assert data.tokenizer is not None
    texts = {}
    for name in ("texts", "pairs"):
        stream: dict[str, Any] = steps[0][name]
        for index in range(count):
            words, masked, predicted = stream["words"][index], stream["masked_words"][index], results[f"{name}.text"][index]
            texts[f"{name} {index + 1}"] = format_reconstruction(data.tokenizer, words, masked, predicted)
    return rows, texts


def run_demo() -> None:
    """Run all steps of the demo and write the report."""
    start = time.monotonic()
    make_shapes_dataset("data/shapes")
    print(f"vocabulary in {make_plain_shapes() / 'texts.spm'}")

    tokenizer = train_config(TOKENIZER, OUT / "tokenizer", "training the image tokenizer")
    weights = last_checkpoint(tokenizer)
    used = [line["codes_used"] for line in read_scalars(tokenizer) if "codes_used" in line]
    sections = [
        Section(
            "Image tokenizer",
            f"Config {TOKENIZER}. Codes are drawn below as the mean of their patches.",
            {"codes in use at the end": f"{used[-1]:.1%}"},
            [[Figure(draw_curve(read_scalars(tokenizer)), "training loss")]],
        )
    ]

    options = {"model.tokenizer.checkpoint": weights}
    pretraining = train_config(PRETRAINING, OUT / "pretraining", "masked data modeling", options)
    model, held_out = load(pretraining, weights)
    scores = table(evaluate_pretraining(model, (step["inputs"] for step in islice(held_out, STEPS))))
    for name, value in scores.items():
        print(f"{name} {value}")
    rows, texts = pictures(model, held_out)
    curve = [Figure(draw_curve(read_scalars(pretraining)), "training loss")]
    text = f"Config {PRETRAINING}. Scores are for masked patches and words of held-out data."
    sections.append(Section("Masked data modeling", text, scores, [curve, *rows]))
    sections.append(Section("Masked words", "Masked words are in brackets, as the model predicted them.", texts))
    write_report(OUT / "report.html", "mmbeit3: pretraining on shapes", sections)

    start_from = detector_options(EPOCHS, last_checkpoint(pretraining))
    detection = train_config(DETECTION, OUT / "detection", "fine-tuning the detector", start_from)
    found = read_scores(detection)
    print("Mask R-CNN from the pretrained weights: " + ", ".join(f"{name} {value:.1f}" for name, value in found.items()))
    rows = show_training(DETECTION, detection)
    sections.append(
        Section("Mask R-CNN, from the pretrained weights", f"Config {DETECTION}. Scores are in percent.", found, rows)
    )
    minutes = (time.monotonic() - start) / 60
    sections.append(Section("Time", "", {"minutes in all": minutes}))
    write_report(OUT / "report.html", "mmbeit3: pretraining on shapes", sections)
    print_end(OUT / "report.html", start, detection)
