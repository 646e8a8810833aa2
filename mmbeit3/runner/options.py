"""Changes to a config for flags of ``tools/train.py``: EMA of the weights, early stop, TensorBoard, Weights & Biases."""

from __future__ import annotations

from importlib.util import find_spec

from mmengine.config import Config

from mmbeit3.errors import UserError

__all__ = ["stop_early", "use_ema", "use_visualizer"]

_BACKENDS = {"tensorboard": "TensorboardVisBackend", "wandb": "WandbVisBackend"}


def use_ema(cfg: Config) -> None:
    """Keep an exponential moving average of the weights (MMEngine's ``EMAHook``), in place.

    Validation and checkpoints use the averages. The average covers about the last tenth of the iterations so far, at most 5000:
    its momentum is ``max(0.0002, 10 / (10 + iteration))``.

    Raises:
        UserError: with a strategy, because sharded weights cannot be averaged by MMEngine's hook.
    """
    if "strategy" in cfg:
        raise UserError(
            "--ema does not work with a strategy: MMEngine's EMAHook needs whole weights; train without one of them"
        )
    _add_hook(
        cfg,
        # After the hook that checks the loss, before the one that writes checkpoints.
        {"type": "EMAHook", "ema_type": "MomentumAnnealingEMA", "gamma": 10, "momentum": 0.0002, "update_buffers": True},
    )


def stop_early(cfg: Config, patience: int) -> None:
    """Stop training if the score has not improved for some validations, in place.

    The score is that of ``default_hooks.checkpoint.save_best`` if the config names one.

    Args:
        cfg: the config.
        patience: number of validations without improvement.

    Raises:
        UserError: if ``patience`` is below 1, or if the config has no validation.
    """
    if patience < 1:
        raise UserError(f"--early-stop must be at least 1, got {patience}")
    if not cfg.get("val_dataloader"):
        raise UserError("--early-stop needs validation, but the config has no val_dataloader")
    checkpoint = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    best = checkpoint.get("save_best")
    hook = {"type": "mmbeit3.EarlyStopHook", "patience": patience}
    if isinstance(best, str) and best != "auto":
        hook["monitor"] = best
        if isinstance(checkpoint.get("rule"), str):
            hook["rule"] = checkpoint["rule"]
    _add_hook(cfg, hook)


def use_visualizer(cfg: Config, name: str) -> None:
    """Send the logged values also to TensorBoard or to Weights & Biases, in place.

    Args:
        cfg: the config.
        name: ``tensorboard`` or ``wandb``.

    Raises:
        UserError: if the library is not installed, with the command that installs it.
    """
    if find_spec(name) is None:
        raise UserError(f"--{name} needs a library that is not installed: pip install {name}")
    if not cfg.get("visualizer"):
        cfg.visualizer = {"type": "Visualizer", "vis_backends": [{"type": "LocalVisBackend"}]}
    backends = list(cfg.visualizer.get("vis_backends") or [])
    if all(backend["type"].rpartition(".")[2] != _BACKENDS[name] for backend in backends):
        cfg.visualizer.vis_backends = [*backends, {"type": _BACKENDS[name]}]


def _add_hook(cfg: Config, hook: dict[str, object]) -> None:
    kind = str(hook["type"])
    others = [other for other in cfg.get("custom_hooks") or [] if other.get("type") != kind]
    cfg.custom_hooks = [*others, hook]
