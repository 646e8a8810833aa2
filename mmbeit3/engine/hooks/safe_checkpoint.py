"""Checkpoints that survive being killed in the middle of saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner
from torch.distributed.tensor import DTensor

from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.registry import HOOKS

__all__ = ["AtomicLocalBackend", "SafeCheckpointHook"]


class AtomicLocalBackend(LocalBackend):
    """MMEngine's local file backend, writing to a temporary name that is then renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes atomically."""
        write_atomically(filepath, bytes(obj))


register_backend("mmbeit3_atomic", AtomicLocalBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, such that a kill at any moment leaves something to resume.

    MMEngine deletes an old checkpoint before the new one is written, writes in place, and rewrites ``last_checkpoint`` in
    place. Here the new file is complete under its name first, then ``last_checkpoint`` names it, then old ones go. Before it
    saves, on all ranks, it calls ``before_checkpoint(runner)`` of the hooks that have one. Weights that are no numbers are not
    saved, since a good checkpoint would go for them.

    Args:
        max_keep_ckpts: how many to keep; -1 for all, else at least 2, so that one is left if the newest is damaged.
        **kwargs: those of ``CheckpointHook``.

    Raises:
        ValueError: if ``max_keep_ckpts`` is 0 or 1.
    """

    def __init__(self, *args: Any, max_keep_ckpts: int = 3, **kwargs: Any) -> None:
        if max_keep_ckpts in (0, 1):
            raise ValueError(f"max_keep_ckpts must be -1 (all) or at least 2, got {max_keep_ckpts}")
        kwargs.setdefault("backend_args", {"backend": "mmbeit3_atomic"})
        super().__init__(*args, max_keep_ckpts=max_keep_ckpts, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Remove what a killed run left half written."""
        super().before_train(runner)
        if is_main_process():
            for folder in {Path(self.out_dir), Path(runner.work_dir)}:
                for pattern in (".*.pth-*.tmp", ".last_checkpoint-*.tmp"):
                    for leftover in folder.glob(pattern):
                        leftover.unlink()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        runner.call_hook("before_checkpoint")
        _check_weights(runner, step)
        outdated: list[int] = []
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            # MMEngine's queue is of this length and drops the oldest silently.
            while len(self.keep_ckpt_ids) >= self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if not is_main_process():
            return
        write_atomically(Path(runner.work_dir) / "last_checkpoint", str(self.last_ckpt).encode())
        for old in outdated:
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):
                # DeepSpeed's checkpoints are folders.
                self.file_backend.rmtree(path)


def _check_weights(runner: Runner, step: int) -> None:
    for name, weight in runner.model.named_parameters():
        # Of weights that are spread over processes, each looks at its own.
        part = weight.to_local() if isinstance(weight, DTensor) else weight
        if not torch.isfinite(part).all():
            raise UserError(
                f"checkpoint {step} was not saved: '{name}' is no longer finite, and earlier checkpoints in "
                f"'{runner.work_dir}' are kept; go on from the last of them with a lower learning rate"
            )
