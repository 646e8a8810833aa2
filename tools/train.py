"""Train a model from a config, on one or several processes."""

import argparse
import os
import shlex
import sys

from mmbeit3.cli import add_run_arguments, run


def main() -> None:
    """Parse arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    add_run_arguments(parser)
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate by the real batch size")
    parser.add_argument(
        "--resume", nargs="?", const="auto", help="resume from the last checkpoint in the work dir, or from a given file"
    )
    parser.add_argument(
        "--progress", metavar="TITLE", help="show a progress bar with this title instead of the log, if stderr is a terminal"
    )
    args = parser.parse_args()

    from mmbeit3.errors import UserError
    from mmbeit3.runner.build import build_runner
    from mmbeit3.runner.config import read_config
    from mmbeit3.runner.running import train

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))

    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    cfg.launcher = args.launcher
    if args.amp:
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    if args.auto_scale_lr:
        if "auto_scale_lr" not in cfg:
            raise UserError("--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config")
        cfg.auto_scale_lr.enable = True
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
    bar = bool(args.progress) and sys.stderr.isatty()
    runner = build_runner(cfg, ("train", "val"), quiet=bar)
    if bar:
        runner.register_hook({"type": "mmbeit3.ProgressBarHook", "title": args.progress})
    again = sys.argv if args.resume else [*sys.argv, "--resume"]
    train(runner, shlex.join(["python", *again]))


if __name__ == "__main__":
    run(main)
