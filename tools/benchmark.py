"""Measure the speed of mmbeit3 and its peers in one run: table, JSON and plot. See docs/performance.md.

The benchmarks are in the folder ``benchmarks`` of the repository, which a wheel does not contain.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmbeit3.cli import run

# The folder benchmarks is a sibling of tools and is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

COMMANDS: dict[str, tuple[str, dict[str, Any]]] = {
    "ops": ("deformable attention alone, and in Mask2Former's pixel decoder", {"sides": [512]}),
    "backbone": ("forward passes: tower, ViT-Adapter, image with text", {"sides": [224, 512, 1024], "adapter_sides": [512]}),
    "train-step": ("forward and backward passes, and their peak memory", {"sides": [512], "adapter_sides": [512]}),
    "pretrain-step": (
        "a step of masked data modeling on images, texts and pairs, and its peak memory",
        {"sides": [224], "batch": 4},
    ),
    "caption": ("captions of 20 words by beam search, with and without batches and cache", {"sides": [224], "batch": 8}),
    "gpu": ("all that this project has goals for on a GPU, in six minutes", {"budget": 4.0}),
    "memory": ("peak memory of a training step with and without recomputation", {"arch": "large", "sides": [896]}),
}
"""Subcommand to its description and its defaults."""

ARCHS = ("tiny", "base", "large", "giant")
DTYPES = ("float32", "bfloat16")
PARTS = (
    *("attention-check", "tower-train", "adapter-train", "adapter-launches", "tower-forward", "mask2former", "deform-attn"),
    *("pretrain-step", "mask-rcnn", "compile", "imports"),
)

_PREDICT = "predictions of a trained model: speed against OpenMMLab's inferencers, memory for a large photograph, tiles"

_PATIENCE = 30.0
"""Seconds for the first call of a contender of the preset ``gpu``."""


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="suite", required=True)
    for suite, (description, defaults) in COMMANDS.items():
        command = commands.add_parser(suite, help=description, description=f"Measure {description}.")
        if suite == "gpu":
            command.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="parts (all), in this order")
            command.add_argument("--limit", type=float, default=345.0, help="seconds for all parts (%(default)s)")
        else:
            command.add_argument("--arch", choices=ARCHS, default="base", help="architecture (%(default)s)")
            command.add_argument(
                "--sides", type=int, nargs="+", help="sides of images in pixels, multiples of 32 (%(default)s)"
            )
            command.add_argument("--dtype", nargs="+", choices=DTYPES, default=["float32"], help="dtypes (%(default)s)")
        command.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
        command.add_argument("--threads", type=int, help="number of CPU threads (one per usable core)")
        command.add_argument("--budget", type=float, default=30.0, help="seconds of measurement per case (%(default)s)")
        command.add_argument("--out", type=Path, help=f"output folder (work_dirs/benchmark/{suite})")
        command.add_argument("--quick", action="store_true", help="tiny sizes, only to check that everything works")
        if suite in ("backbone", "train-step"):
            command.add_argument("--adapter-sides", type=int, nargs="+", help="sides for the ViT-Adapter (%(default)s)")
            command.add_argument("--compile", action="store_true", help="also measure mmbeit3 and timm with torch.compile")
        if suite not in ("gpu", "ops"):
            command.add_argument(
                "--batch", type=int, default=1, help="number of images, of texts and of pairs in a call (%(default)s)"
            )
        command.set_defaults(**defaults)
    command = commands.add_parser("predict", help=_PREDICT, description=f"Measure {_PREDICT}.")
    command.add_argument("model", help="work dir of a training")
    command.add_argument("images", help="folder of images")
    command.add_argument("--count", type=int, default=200, help="number of images; a smaller folder is repeated (%(default)s)")
    command.add_argument("--batch", type=int, default=4, help="images per forward pass (%(default)s)")
    command.add_argument("--rounds", type=int, default=5, help="number of measurements (%(default)s)")
    command.add_argument("--score", type=float, default=0.5, help="smallest score of objects (%(default)s)")
    command.add_argument("--threads", type=int, help="number of CPU threads (one per usable core)")
    command.add_argument("--coco", help="COCO file of the images: also paste them into large images and compare tiles")
    command.add_argument("--tile", type=int, default=128, help="side of the tiles in pixels (%(default)s)")
    command.add_argument("--out", type=Path, help="output folder (work_dirs/benchmark/predict)")
    args = parser.parse_args()

    if args.suite == "predict":
        measure_predictions(args)
        return
    from benchmarks import Settings, run_benchmark
    from benchmarks.preset import run_preset
    from mmbeit3.profiling.machine import usable_cores

    out = args.out or Path("work_dirs/benchmark") / args.suite
    command_line = " ".join(["python tools/benchmark.py", *sys.argv[1:]])
    common = Settings(device=args.device, threads=usable_cores() if args.threads is None else args.threads, budget=args.budget)
    if args.suite == "gpu":
        settings = replace(common, dtypes=("bfloat16",), patience=_PATIENCE)
        # Tiny sizes are slower with several threads.
        run_preset(
            replace(settings.for_check(), threads=1) if args.quick else settings, out, command_line, args.parts, args.limit
        )
        print(f"results.json and table.md in {out}")
        return
    settings = replace(
        common,
        arch=args.arch,
        sides=tuple(args.sides),
        adapter_sides=tuple(getattr(args, "adapter_sides", [])),
        batch=getattr(args, "batch", Settings.batch),
        dtypes=tuple(args.dtype),
        compile=getattr(args, "compile", False),
    )
    run_benchmark(args.suite, settings.for_check() if args.quick else settings, out, command_line)
    print(f"results.json, table.md and plot.png in {out}")


def measure_predictions(args: argparse.Namespace) -> None:
    """Measure predictions of a trained model."""
    from benchmarks.prediction import run_prediction_benchmark
    from mmbeit3.profiling.machine import usable_cores

    out = args.out or Path("work_dirs/benchmark/predict")
    settings = {name: getattr(args, name) for name in ("count", "batch", "rounds", "score", "coco", "tile")}
    settings["threads"] = usable_cores() if args.threads is None else args.threads
    run_prediction_benchmark(args.model, args.images, out, " ".join(["python tools/benchmark.py", *sys.argv[1:]]), **settings)
    print(f"results.json in {out}")


if __name__ == "__main__":
    run(main)
