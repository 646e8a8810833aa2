"""Evaluate a checkpoint with a config, on one or several processes."""

import argparse
import os

from mmbeit3.cli import add_run_arguments, next_command, run
from mmbeit3.terminal import current_terminal, quiet_terminal


def main() -> None:
    """Parse arguments and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "checkpoint", help="a checkpoint of this config's training; for the fine-tuned tasks also a released one"
    )
    add_run_arguments(parser)
    parser.add_argument("--show-dir", help="draw predictions into this folder, below the work dir")
    parser.add_argument("--tta", action="store_true", help="use the config's test-time augmentation")
    args = parser.parse_args()
    with quiet_terminal(not args.verbose):
        test_config(args)


def test_config(args: argparse.Namespace) -> None:
    """Evaluate as the arguments say."""
    from mmengine.registry import init_default_scope

    from mmbeit3.datasets.checks.trained import check_trained_classes
    from mmbeit3.engine.hooks import ConsoleHook
    from mmbeit3.runner.build import build_runner
    from mmbeit3.runner.config import read_config, use_tta
    from mmbeit3.runner.running import test
    from mmbeit3.runner.weights import load_trained

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))

    cfg = read_config(args.config, args.cfg_options, args.work_dir)
    cfg.launcher = args.launcher
    cfg.load_from = None
    if args.show_dir:
        cfg.default_hooks.visualization.draw = True
        cfg.default_hooks.visualization.test_out_dir = args.show_dir
    if args.tta:
        init_default_scope(cfg.default_scope)
        use_tta(cfg)
    check_trained_classes(cfg, args.checkpoint)
    runner = build_runner(cfg, ("test",))
    load_trained(runner.model, args.checkpoint)

    def suggest(checkpoint: str | None) -> list[str]:
        if cfg.get("default_scope") not in ("mmdet", "mmseg"):
            return []
        return ["next         " + next_command("analyze_errors", args.config, args.checkpoint)]

    if (terminal := current_terminal()) is not None:
        runner.register_hook(ConsoleHook(terminal, ("test",), suggest=suggest))
    test(runner)


if __name__ == "__main__":
    run(main)
