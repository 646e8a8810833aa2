"""Measure the speed of mmbeit3 and its peers in one run: table, JSON and plot. See docs/performance.md.

The benchmarks are in the repository's folder ``benchmarks``, which a wheel does not contain.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from mmbeit3.cli import run

# The folder benchmarks is beside tools and is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

WHAT: dict[str, tuple[str, dict[str, Any]]] = {
    "ops": ("deformable attention by itself, and in Mask2Former's pixel decoder", {"sides": [512]}),
    "backbone": ("forward passes: tower, ViT-Adapter, image with text", {"sides": [224, 512, 1024], "adapter_sides": [512]}),
    "train-step": ("forward and backward passes, and their peak memory", {"sides": [512], "adapter_sides": [512]}),
    "pretrain-step": ("a step of masked data modeling on images, texts and pairs, and its peak memory", {"sides": [224]}),
    "caption": ("captions of 20 words by beam search, batched and cached, and without either", {"sides": [224], "batch": 8}),
    "memory": ("peak memory of a training step by what is recomputed", {"arch": "large", "sides": [896]}),
}
"""Each subcommand: what it measures, and its defaults."""


def main() -> None:
    """Parse arguments and measure."""
    from benchmarks import Settings, run_benchmark
    from benchmarks.settings import DTYPES
    from mmbeit3.models.beit3 import ARCHS
    from mmbeit3.profiling.machine import usable_cores

    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="suite", required=True)
    for suite, (what, defaults) in WHAT.items():
        command = commands.add_parser(suite, help=what, description=f"Measure {what}.")
        command.add_argument("--arch", choices=list(ARCHS), default="base", help="architecture (%(default)s)")
        command.add_argument("--sides", type=int, nargs="+", help="sides of images in pixels, multiples of 32 (%(default)s)")
        command.add_argument("--dtype", nargs="+", choices=DTYPES, default=["float32"], help="types (%(default)s)")
        command.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
        command.add_argument("--threads", type=int, default=usable_cores(), help="threads of a CPU (%(default)s)")
        command.add_argument("--budget", type=float, default=30.0, help="seconds of measuring a case (%(default)s)")
        command.add_argument("--out", type=Path, help=f"folder to write to (work_dirs/benchmark/{suite})")
        command.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs")
        if suite in ("backbone", "train-step"):
            command.add_argument("--adapter-sides", type=int, nargs="+", help="the same for the ViT-Adapter (%(default)s)")
            command.add_argument("--compile", action="store_true", help="torch.compile of ours and of timm's as well")
        if suite in ("pretrain-step", "caption"):
            command.add_argument("--batch", type=int, default=4, help="images, or pairs and as many of each (%(default)s)")
        command.set_defaults(**defaults)
    args = parser.parse_args()
    settings = Settings(
        arch=args.arch,
        sides=tuple(args.sides),
        adapter_sides=tuple(getattr(args, "adapter_sides", [])),
        batch=getattr(args, "batch", Settings.batch),
        dtypes=tuple(args.dtype),
        device=args.device,
        threads=args.threads,
        budget=args.budget,
        compile=getattr(args, "compile", False),
    )
    out = args.out or Path("work_dirs/benchmark") / args.suite
    command_line = " ".join(["python tools/benchmark.py", *sys.argv[1:]])
    run_benchmark(args.suite, settings.for_check() if args.quick else settings, out, command_line)
    print(f"results.json, table.md and plot.png in {out}")


if __name__ == "__main__":
    run(main)
