"""Compile the blocks of a backbone with ``torch.compile``."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmbeit3.errors import UserError
from mmbeit3.ops import switches
from mmbeit3.registry import HOOKS

__all__ = ["CompileBlocksHook"]


@HOOKS.register_module()
class CompileBlocksHook(Hook):
    """Switch on ``compile_blocks`` of all networks of mmbeit3 in the model, before training or testing.

    Blocks of the ViT, injectors and extractors are compiled at their first use (:func:`mmbeit3.ops.region`); heads are not.
    Parameters and their names do not change. In a config: ``custom_hooks = [..., dict(type='mmbeit3.CompileBlocksHook')]``.
    """

    def before_run(self, runner: Runner) -> None:
        """Switch it on.

        Raises:
            UserError: if nothing in the model has the switch.
        """
        parts = switches(runner.model)
        if not parts:
            raise UserError(
                f"CompileBlocksHook: {type(runner.model).__name__} has no network of mmbeit3 to compile; remove the hook from "
                "custom_hooks"
            )
        for part in parts:
            part.compile_blocks = True
