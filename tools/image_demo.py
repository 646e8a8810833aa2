"""Run a detector or segmentor on an image, or on those of a folder, and write pictures with what it found."""

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
    parser.add_argument("image", help="image file, its address (https://...), or a folder of images")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="a checkpoint that training with this config wrote")
    parser.add_argument("--out", help="picture, or folder of pictures, to write (IMAGE's name in work_dirs/image_demo)")
    parser.add_argument("--device", default="cpu", help="e.g. cuda:0 (%(default)s)")
    parser.add_argument("--score", type=float, default=0.5, help="least score of what is drawn (%(default)s)")
    args = parser.parse_args()

    from mmbeit3.inference.dense import draw_prediction, draw_predictions, load_model

    made = Path("work_dirs/image_demo")
    model, cfg = load_model(args.config, args.checkpoint, args.device)
    if not os.path.isdir(args.image):  # noqa: PTH112  (Path's raises for names that are too long)
        out = Path(args.out) if args.out else made / f"{Path(args.image).stem}.png"
        draw_prediction(model, cfg, args.image, out, args.score)
        print(f"picture in {out}")
        return
    out = Path(args.out) if args.out else made / Path(args.image).resolve().name
    done = list(_name_refused(draw_predictions(model, cfg, args.image, out, args.score)))
    left_out = sum(error is not None for error in done)
    if left_out:
        raise UserError(f"{left_out} of {len(done)} images cannot be read; pictures of the others are in '{out}'")
    print(f"{len(done)} pictures in {out}")


def _name_refused(results: Iterable[tuple[Path, UserError | None]]) -> Iterator[UserError | None]:
    """Say what is wrong with an image at once: the others may take hours."""
    for _, error in results:
        if error is not None:
            print(f"left out: {error}", file=sys.stderr)
        yield error


if __name__ == "__main__":
    run(main)
