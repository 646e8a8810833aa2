"""Predict images, a folder or a video with a detector or segmentor: pictures, label images, COCO's JSON and a table."""

import argparse
import os
import sys
import time
from pathlib import Path

from mmbeit3.cli import run
from mmbeit3.terminal import format_duration, quiet_terminal

_PICTURES = (".jpg", ".jpeg", ".png")


def main() -> None:
    """Parse arguments and predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="work dir of a training, folder of publish_model, name of the zoo, or config file")
    parser.add_argument("images", nargs="+", help="image files, URL (https://...), folder of images, or video")
    parser.add_argument("--checkpoint", help="weights; needed if MODEL is a config file")
    parser.add_argument(
        "--out", help="folder to write; for a single image also a picture such as found.png (work_dirs/predict/NAME)"
    )
    parser.add_argument("--score", type=float, default=0.5, help="smallest score of objects (%(default)s)")
    parser.add_argument("--tile", type=int, help="side in pixels of windows for large images (default: images are not cut)")
    parser.add_argument("--overlap", type=int, help="pixels that windows share (a quarter of --tile)")
    parser.add_argument("--batch-size", type=int, default=1, help="images per forward pass (%(default)s)")
    parser.add_argument("--device", help="e.g. cuda:1 or cpu (default: a GPU if there is one)")
    parser.add_argument("--no-pictures", action="store_true", help="write only JSON, table and label images")
    args = parser.parse_args()

    with quiet_terminal():
        from mmbeit3.errors import UserError
        from mmbeit3.inference import load_model
        from mmbeit3.inference.images import is_folder
        from mmbeit3.inference.saving import predict_to_folder
        from mmbeit3.inference.sources import is_video

        images = args.images[0] if len(args.images) == 1 else args.images
        folder, video = is_folder(images), is_video(images)
        picture = args.out and Path(args.out).suffix.lower() in _PICTURES and not os.path.isdir(args.out)  # noqa: PTH112
        if picture and (folder or video or len(args.images) > 1):
            raise UserError(f"--out '{args.out}' is a picture, but there are several images or a video: give a folder")
        model = load_model(args.model, args.checkpoint, args.device)

    options = {"score": args.score, "tile": args.tile, "overlap": args.overlap}
    if picture:
        result = model.predict(images, **options)
        print(_describe(result.counts()))
        print(f"picture in {result.save(args.out)}")
        return
    source = Path(args.images[0]).resolve()
    name = "images" if len(args.images) > 1 else source.name if folder else source.stem
    out = Path(args.out) if args.out else Path("work_dirs/predict") / name
    start = time.monotonic()
    try:
        done = predict_to_folder(model, images, out, args.batch_size, not args.no_pictures, on_error=_report, **options)
    except KeyboardInterrupt:
        again = "starts the video again from its first frame" if video else "continues after the images that are done"
        raise KeyboardInterrupt(f"interrupted: the same command {again}") from None
    seconds = time.monotonic() - start
    fresh = done.images - done.earlier
    earlier = f", {done.earlier} more from earlier runs" if done.earlier else ""
    print(f"{fresh} images in {format_duration(seconds)}{earlier}: {_describe(done.counts)}")
    for what, path in done.files.items():
        print(f"{what}: {path}")
    if done.unreadable:
        total = done.images + len(done.unreadable)
        raise UserError(f"{len(done.unreadable)} of {total} images cannot be read; results of the others are in '{out}'")


def _report(name: str, error: Exception) -> None:
    """Print the error of an image immediately, because the other images may take hours."""
    print(f"skipped: {error}", file=sys.stderr)


def _describe(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing found"


if __name__ == "__main__":
    run(main)
