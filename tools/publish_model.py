"""Make a file for others of a training checkpoint: weights alone, as safetensors, and a card with scores and versions."""

import argparse
from pathlib import Path

from mmbeit3.cli import run


def main() -> None:
    """Parse arguments and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="a checkpoint that training wrote")
    parser.add_argument("folder", help="where to write NAME-<SHA-256>.safetensors and README.md")
    parser.add_argument("--name", help="the model's name (the config's, or else the checkpoint's)")
    parser.add_argument("--config", help="config that it was trained with, for the card")
    parser.add_argument("--work-dir", help="training's folder, whose last evaluation goes into the card")
    parser.add_argument("--score", action="append", default=[], metavar="METRIC=VALUE", help="a score for the card")
    parser.add_argument("--allow-nonfinite", action="store_true", help="publish weights that are NaN or infinite, too")
    args = parser.parse_args()

    from mmbeit3.checkpoint.publishing import last_scores, publish
    from mmbeit3.errors import UserError

    scores: dict[str, float | str] = {}
    if args.work_dir:
        scores |= last_scores(args.work_dir)
    for score in args.score:
        metric, equals, value = score.partition("=")
        if not (metric and equals and value):
            raise UserError(f"--score {score}: give it as METRIC=VALUE, e.g. mIoU=53.6")
        scores[metric] = value
    path = publish(
        args.source, args.folder, args.name or Path(args.config or args.source).stem, scores, args.config, args.allow_nonfinite
    )
    print(f"weights in '{path}', card in '{path.parent / 'README.md'}'")


if __name__ == "__main__":
    run(main)
