"""Train a model from a config, on one or several processes."""

import argparse
import os
import shlex
import sys
from pathlib import Path

from mmbeit3.cli import add_run_arguments, next_command, run
from mmbeit3.terminal import current_terminal, quiet_terminal


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
    parser.add_argument("--progress", metavar="TITLE", help="print only the progress, with this title before it")
    parser.add_argument("--ema", action="store_true", help="validate and save an exponential moving average of the weights")
    parser.add_argument(
        "--early-stop", type=int, metavar="N", help="stop after N validations in which the main score did not improve"
    )
    parser.add_argument("--tensorboard", action="store_true", help="also log to TensorBoard")
    parser.add_argument("--wandb", action="store_true", help="also log to Weights & Biases")
    parser.add_argument(
        "--replay", metavar="FILE", help="run a batch again whose loss was not finite, and show where (WORK_DIR/replay/*.pt)"
    )
    args = parser.parse_args()
    with quiet_terminal(not args.verbose):
        train_config(args)


def train_config(args: argparse.Namespace) -> None:
    """Train as the arguments say."""
    from mmbeit3.engine.console_text import short_path
    from mmbeit3.engine.hooks import ConsoleHook
    from mmbeit3.errors import UserError
    from mmbeit3.runner.build import build_runner
    from mmbeit3.runner.config import read_config
    from mmbeit3.runner.options import stop_early, use_ema, use_visualizer
    from mmbeit3.runner.replay import replay
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
    if args.replay:
        lines, terminal = replay(cfg, args.replay), current_terminal()
        if terminal is not None:
            terminal.print(*lines)
        else:
            print("\n".join(lines))
        return
    if args.ema:
        use_ema(cfg)
    if args.early_stop is not None:
        stop_early(cfg, args.early_stop)
    for name in ("tensorboard", "wandb"):
        if getattr(args, name):
            use_visualizer(cfg, name)
    runner = build_runner(cfg, ("train", "val"))

    def suggest(checkpoint: str | None) -> list[str]:
        if checkpoint is None:
            return []
        lines = (
            [next_command("predict", cfg.work_dir, "IMAGE_OR_FOLDER")] if cfg.get("default_scope") in ("mmdet", "mmseg") else []
        )
        if cfg.get("test_dataloader"):
            # The config in the work dir has the settings of the command line.
            dumped = Path(cfg.work_dir) / Path(args.config).name
            lines.insert(0, next_command("test", str(dumped), short_path(checkpoint)))
        return [f"{name:12} {line}" for name, line in zip(("next", ""), lines, strict=False)]

    if (terminal := current_terminal()) is not None:
        runner.register_hook(ConsoleHook(terminal, ("train", "val"), args.progress, suggest))
    again = sys.argv if args.resume else [*sys.argv, "--resume"]
    train(runner, shlex.join(["python", *again]))


if __name__ == "__main__":
    run(main)
