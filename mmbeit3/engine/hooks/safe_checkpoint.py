"""Save checkpoints so that a kill during saving does no harm."""

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
    """MMEngine's local file backend with atomic writes: it writes a temporary file and renames it."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes atomically."""
        write_atomically(filepath, bytes(obj))


register_backend("mmbeit3_atomic", AtomicLocalBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, changed so that a kill at any moment leaves a checkpoint to resume from.

    MMEngine deletes an old checkpoint before it writes the new one, and overwrites files in place. This hook first writes the
    new file completely, then updates ``last_checkpoint``, then deletes old checkpoints. Before it saves, it calls
    ``before_checkpoint(runner)`` of all hooks that have this method, on all ranks. It does not save weights that are NaN or
    infinite, because a good checkpoint would be deleted for them.

    Args:
        max_keep_ckpts: number of checkpoints to keep; -1 for all, otherwise at least 2, in case the newest is damaged.
        **kwargs: arguments of ``CheckpointHook``.

    Raises:
        ValueError: if ``max_keep_ckpts`` is 0 or 1.
    """

    def __init__(self, *args: Any, max_keep_ckpts: int = 3, **kwargs: Any) -> None:
        if max_keep_ckpts in (0, 1):
            raise ValueError(f"max_keep_ckpts must be -1 (all) or at least 2, got {max_keep_ckpts}")
        kwargs.setdefault("backend_args", {"backend": "mmbeit3_atomic"})
        super().__init__(*args, max_keep_ckpts=max_keep_ckpts, **kwargs)

    def before_train(self, runner: Runner) -> None:
        """Remove temporary files of a killed run."""
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
            # MMEngine's queue has this maximal length and would drop the oldest entry without deleting its file.
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
                # A DeepSpeed checkpoint is a folder.
                self.file_backend.rmtree(path)


def _check_weights(runner: Runner, step: int) -> None:
    for name, weight in runner.model.named_parameters():
        # Each process checks its own shards.
        part = weight.to_local() if isinstance(weight, DTensor) else weight
        if not torch.isfinite(part).all():
            raise UserError(
                f"checkpoint {step} was not saved: '{name}' is no longer finite. Earlier checkpoints in "
                f"'{runner.work_dir}' are kept: resume from the last one with a lower learning rate"
            )
