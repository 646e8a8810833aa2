"""Publish a training checkpoint: its weights as safetensors, a config for load_model, and a model card."""

import argparse
from pathlib import Path
from typing import Any

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="checkpoint of a training")
    parser.add_argument("folder", help="output folder for NAME-<SHA-256>.safetensors, config.json and README.md")
    parser.add_argument("--name", help="name of the model (default: name of the config or of the checkpoint)")
    parser.add_argument("--config", help="config of the training (default: the one in --work-dir)")
    parser.add_argument("--work-dir", help="folder of the training; the card shows its last evaluation, in percent")
    parser.add_argument("--score", action="append", default=[], metavar="METRIC=VALUE", help="score for the card")
    parser.add_argument("--allow-nonfinite", action="store_true", help="accept weights that are NaN or infinite")
    args = parser.parse_args()

    from mmbeit3.checkpoint.publishing import last_scores, publish
    from mmbeit3.errors import UserError
    from mmbeit3.evaluation.published.score_names import percent_scores

    scores: dict[str, float | str] = {}
    if args.work_dir:
        scores |= {name: f"{value:.1f}" for name, value in percent_scores(last_scores(args.work_dir)).items()}
    for score in args.score:
        metric, equals, value = score.partition("=")
        if not (metric and equals and value):
            raise UserError(f"--score {score}: use the form METRIC=VALUE, e.g. mIoU=53.6")
        scores[metric] = value
    config = args.config
    if not config and args.work_dir:
        # A training writes its config there; several trainings in one folder leave several.
        dumped = list(Path(args.work_dir).glob("*.py"))
        config = dumped[0] if len(dumped) == 1 else None
    prediction = _prediction(config, args.source) if config else None
    path = publish(
        args.source,
        args.folder,
        args.name or Path(config or args.source).stem,
        scores,
        config,
        args.allow_nonfinite,
        prediction,
    )
    print(f"weights in '{path}', card in '{path.parent / 'README.md'}'")
    if prediction:
        print(f"load the folder by load_model('{path.parent}') or: python tools/predict.py {path.parent} IMAGE")


def _prediction(path: str | Path, checkpoint: str) -> dict[str, Any] | None:
    """Return the content of config.json for a detector or segmentor; None for other models."""
    from mmbeit3.datasets.checks.trained import check_trained_classes
    from mmbeit3.inference.published import prediction_config
    from mmbeit3.runner.config import read_config

    cfg = read_config(path)
    if cfg.get("default_scope") not in ("mmdet", "mmseg") or not cfg.get("model") or not cfg.get("test_dataloader"):
        return None
    check_trained_classes(cfg, checkpoint)
    return prediction_config(cfg)


if __name__ == "__main__":
    run(main)
