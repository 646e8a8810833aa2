"""Train any config of this repository with any of MMEngine's launchers."""

import argparse
import os
import shlex
import sys

from mmbeit3.cli import OptionsAction, run


def main() -> None:
    """Parse arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where logs and checkpoints go (work_dirs/CONFIG)")
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the rate by the real batch size")
    parser.add_argument(
        "--resume", nargs="?", const="auto", help="resume from the latest checkpoint of the work dir, or from a given one"
    )
    parser.add_argument(
        "--progress", metavar="TITLE", help="on a terminal, show a progress bar of this title instead of the log"
    )
    parser.add_argument("--cfg-options", nargs="+", action=OptionsAction, help="settings to change, as name=value")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help="set by the launcher")
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
