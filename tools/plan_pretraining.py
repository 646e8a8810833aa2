"""Estimate memory, operations and traffic of each GPU for a pretraining config. Needs neither a GPU nor data."""

import argparse
from pathlib import Path

from mmbeit3.cli import OptionsAction, run


def main() -> None:
    """Parse arguments, make the plan and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="pretraining config file")
    parser.add_argument("--gpus", type=int, default=1, help="number of GPUs (%(default)s)")
    parser.add_argument(
        "--global-batch", type=int, help="records of each stream per step on all GPUs (default: the config's batch on each GPU)"
    )
    parser.add_argument(
        "--text-length", type=int, help="tokens of every text (default: the largest number that the config allows)"
    )
    parser.add_argument(
        "--gather-dtype",
        choices=["float32", "bfloat16"],
        help="dtype in which FSDP gathers weights (default: that of the config)",
    )
    parser.add_argument("--measure", choices=["cpu", "cuda"], help="also run a real step on this machine and compare its peak")
    parser.add_argument("--json", type=Path, help="JSON file to write the plan to")
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="settings to change, as name=value")
    args = parser.parse_args()

    import torch

    from mmbeit3.errors import UserError
    from mmbeit3.pretrain.plan import make_plan, measure_step, print_plan, with_global_batch, write_plan
    from mmbeit3.runner.config import read_config

    cfg = read_config(args.config, args.cfg_options)
    if args.gpus < 1:
        raise UserError(f"{args.gpus} GPUs: give at least one")
    if args.global_batch is not None:
        with_global_batch(cfg, args.global_batch, args.gpus)
    if args.measure == "cuda" and not torch.cuda.is_available():
        raise UserError("--measure cuda: PyTorch finds no GPU on this machine: use --measure cpu")
    plan = make_plan(cfg, args.gpus, args.text_length, args.gather_dtype and getattr(torch, args.gather_dtype))
    print_plan(plan)
    if args.json:
        write_plan(plan, args.json)
    if args.measure:
        for with_cp in (False, True):
            result = measure_step(cfg, with_cp, args.measure, args.text_length)
            print(
                f"one process on {args.measure}, {'with' if with_cp else 'without'} checkpointing: a step needs "
                f"{result.measured / 1e6:.0f} MB on top of {result.held / 1e6:.0f}, predicted {result.predicted / 1e6:.0f} "
                f"({result.deviation:+.1%} of the peak)"
            )


if __name__ == "__main__":
    run(main)
