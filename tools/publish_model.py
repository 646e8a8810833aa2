"""Publish a training checkpoint: its weights as safetensors, and a model card with scores and versions."""

import argparse
from pathlib import Path

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="checkpoint of a training")
    parser.add_argument("folder", help="output folder for NAME-<SHA-256>.safetensors and README.md")
    parser.add_argument("--name", help="name of the model (default: name of the config or of the checkpoint)")
    parser.add_argument("--config", help="config of the training, for the card")
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
    path = publish(
        args.source, args.folder, args.name or Path(args.config or args.source).stem, scores, args.config, args.allow_nonfinite
    )
    print(f"weights in '{path}', card in '{path.parent / 'README.md'}'")


if __name__ == "__main__":
    run(main)
