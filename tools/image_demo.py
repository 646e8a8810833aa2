"""Run a detector or segmentor on an image or a folder of images, and write pictures with the predictions."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.errors import UserError


def main() -> None:
    """Parse arguments, predict and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", help="image file, URL (https://...), or folder of images")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint of a training with this config")
    parser.add_argument("--out", help="picture or folder to write (name of IMAGE in work_dirs/image_demo)")
    parser.add_argument("--device", default="cpu", help="e.g. cuda:0 (%(default)s)")
    parser.add_argument("--score", type=float, default=0.5, help="smallest score to draw (%(default)s)")
    args = parser.parse_args()

    from mmbeit3.inference.dense import draw_prediction, draw_predictions, load_model

    default = Path("work_dirs/image_demo")
    model, cfg = load_model(args.config, args.checkpoint, args.device)
    if not os.path.isdir(args.image):  # noqa: PTH112  (Path.is_dir raises an error for names that are too long)
        out = Path(args.out) if args.out else default / f"{Path(args.image).stem}.png"
        draw_prediction(model, cfg, args.image, out, args.score)
        print(f"picture in {out}")
        return
    out = Path(args.out) if args.out else default / Path(args.image).resolve().name
    done = list(_report_errors(draw_predictions(model, cfg, args.image, out, args.score)))
    skipped = sum(error is not None for error in done)
    if skipped:
        raise UserError(f"{skipped} of {len(done)} images cannot be read; pictures of the others are in '{out}'")
    print(f"{len(done)} pictures in {out}")


def _report_errors(results: Iterable[tuple[Path, UserError | None]]) -> Iterator[UserError | None]:
    """Print the error of an image immediately, because the other images may take hours."""
    for _, error in results:
        if error is not None:
            print(f"skipped: {error}", file=sys.stderr)
        yield error


if __name__ == "__main__":
    run(main)
