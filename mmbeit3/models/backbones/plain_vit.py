"""The interface between a plain ViT and the modules that build a feature pyramid from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmbeit3.models.backbones.init_cfg import init_pretrained

__all__ = ["PlainViT", "tokens_to_map"]


def tokens_to_map(tokens: Tensor, grid: tuple[int, int], num_prefix: int) -> Tensor:
    """Drop the prefix tokens of (B, P + h * w, C) and view the patches as (B, C, h, w), channels last in memory."""
    return tokens[:, num_prefix:].unflatten(1, grid).permute(0, 3, 1, 2)  # (B, C, h, w)


class PlainViT(BaseModule):
    """Base class of Vision Transformers with one resolution, whose blocks can be run one by one.

    Subclasses define:

    * ``embed_dims``, ``num_layers``, ``patch_size`` (pixels), ``num_prefix_tokens``;
    * ``in_channels``, if it is not three;
    * ``embed_image(image) -> (tokens, grid)``: (B, in_channels, H, W) of any size to (B, P + h * w, C), prefix tokens (class,
      registers) first, positions added, and ``grid = (h, w)`` in Python ints; sides that are not a multiple of the
      patch are padded on the right and at the bottom;
    * ``run(tokens, grid, first, last) -> tokens``: blocks ``first`` to ``last - 1``, without the final norm;
    * ``normalize(tokens) -> tokens``: the final norm, or the tokens unchanged if it was not built;
    * ``stages()``: the parts that ``frozen_stages`` counts.

    A subclass calls :meth:`freeze` at the end of its constructor.

    Args:
        out_indices: blocks whose outputs :meth:`forward` returns, ascending; negative ones count from the end. Default: the
            last.
        frozen_stages: -1 trains everything, 0 freezes the embedding, k the embedding and the first k blocks.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``, see :func:`mmbeit3.checkpoint.load_checkpoint`.
    """

    embed_dims: int
    num_layers: int
    patch_size: int
    num_prefix_tokens: int
    in_channels: int = 3

    def __init__(
        self,
        out_indices: Sequence[int] | None = None,
        frozen_stages: int = -1,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.out_indices = (-1,) if out_indices is None else tuple(out_indices)
        self.frozen_stages = frozen_stages

    def embed_image(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed (B, in_channels, H, W) to tokens (B, P + h * w, C) and the grid (h, w)."""
        raise NotImplementedError(f"{type(self).__name__} must define embed_image")

    def run(self, tokens: Tensor, grid: tuple[int, int], first: int, last: int) -> Tensor:
        """Run blocks ``first`` to ``last - 1`` over tokens (B, P + h * w, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define run")

    def normalize(self, tokens: Tensor) -> Tensor:
        """Apply the final norm to tokens (B, P + h * w, C)."""
        raise NotImplementedError(f"{type(self).__name__} must define normalize")

    def stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """List the modules and parameters of the embedding (index 0) and of each block (from index 1)."""
        raise NotImplementedError(f"{type(self).__name__} must define stages")

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute feature maps (B, C, h, w), contiguous, of an image (B, in_channels, H, W) at ``out_indices``."""
        tokens, grid = self.embed_image(image)
        maps, first = [], 0
        for index in self._resolved_out_indices():
            tokens = self.run(tokens, grid, first, index + 1)
            # mmcv's compiled ops read memory as NCHW without a check.
            maps.append(tokens_to_map(self.normalize(tokens), grid, self.num_prefix_tokens).contiguous())
            first = index + 1
        return tuple(maps)

    def _resolved_out_indices(self) -> list[int]:
        return [index + self.num_layers if index < 0 else index for index in self.out_indices]

    def freeze(self) -> None:
        """Check the constructor's arguments against the finished network and freeze ``frozen_stages``.

        Raises:
            ValueError: for indices or a number of stages that this network does not have.
        """
        indices = self._resolved_out_indices()
        if indices != sorted(set(indices)) or not indices or indices[0] < 0 or indices[-1] >= self.num_layers:
            raise ValueError(
                f"out_indices {self.out_indices} must be ascending and within the {self.num_layers} blocks of this network"
            )
        if not -1 <= self.frozen_stages <= self.num_layers:
            raise ValueError(f"frozen_stages must be between -1 and {self.num_layers}, got {self.frozen_stages}")
        for part in self._frozen():
            if isinstance(part, nn.Module):
                part.requires_grad_(False).eval()
            else:
                part.requires_grad_(False)

    def _frozen(self) -> list[nn.Module | nn.Parameter]:
        return [part for stage in self.stages()[: self.frozen_stages + 1] for part in stage]

    def train(self, mode: bool = True) -> PlainViT:
        """Set the training mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen():
            if isinstance(part, nn.Module):
                part.eval()
        return self

    def init_weights(self) -> None:
        """Load the checkpoint of ``init_cfg``. MMEngine calls this once the model is built."""
        init_pretrained(self)
