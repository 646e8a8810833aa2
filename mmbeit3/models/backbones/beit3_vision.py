"""BEiT-3's vision tower as a plain backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from mmbeit3.models.backbones.plain_vit import PlainViT
from mmbeit3.models.beit3 import (
    GatheredWindows,
    Segment,
    Tower,
    VisionEmbedding,
    WindowOrder,
    get_arch,
    init_beit3,
    joint_attention,
    run_layer,
)
from mmbeit3.ops import Residual, attend
from mmbeit3.ops.exporting import exporting
from mmbeit3.registry import MODELS

__all__ = ["BEiT3Vision"]


@MODELS.register_module()
class BEiT3Vision(Tower, PlainViT):
    """The vision tower of BEiT-3 for dense prediction: any image size, global or windowed attention.

    It is the vision tower of the full model without the mask token. Its state dict has the keys that follow ``vision.`` in the
    full model's state dict.

    Args:
        arch: ``'tiny'``, ``'base'``, ``'large'``, ``'giant'`` or a dict of sizes, see :func:`mmbeit3.models.beit3.get_arch`.
        image_size: side in pixels, or (height, width), whose patch grid the position table has; default the
            architecture's. Images of other sizes get resized positions in each forward.
        patch_size: side of a patch in pixels; default the architecture's. Checkpoints of another patch size are resized.
        out_indices: blocks whose outputs are returned; default the last.
        window_size: side of the attention windows in patches; 0 for global attention in all blocks.
        global_indices: blocks with global attention if ``window_size`` is set; negative ones count from the end.
        drop_path_rate: stochastic depth at the last block, linear from 0 at the first.
        with_cp: recompute each block in the backward pass to save memory.
        frozen_stages: -1 trains everything, 0 freezes the embedding, k the embedding and the first k blocks.
        final_norm: apply the tower's final norm to the returned maps. ViTDet and ViT-Adapter do not use it.
        in_channels: channels of images. RGB kernels of checkpoints are summed for 1 channel and repeated for other numbers.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``.
        compile_blocks: compile the token-wise work of the blocks, see :func:`mmbeit3.ops.region`.

    Raises:
        ValueError: for inconsistent sizes or indices out of range.
    """

    def __init__(
        self,
        arch: str | Mapping[str, Any] = "base",
        image_size: int | Sequence[int] | None = None,
        patch_size: int | None = None,
        out_indices: Sequence[int] | None = None,
        window_size: int = 0,
        global_indices: Sequence[int] = (),
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        frozen_stages: int = -1,
        final_norm: bool = False,
        in_channels: int = 3,
        init_cfg: dict[str, Any] | None = None,
        compile_blocks: bool = False,
    ) -> None:
        sizes = get_arch(arch, patch_size=patch_size)
        super().__init__(
            sizes,
            VisionEmbedding(sizes, mask_token=False, grid=_grid(image_size, sizes.patch_size), in_channels=in_channels),
            drop_path_rate=drop_path_rate,
            with_cp=with_cp,
            final_norm=final_norm,
            compile_blocks=compile_blocks,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
        )
        self.embed_dims = sizes.embed_dims
        self.in_channels = in_channels
        self.num_layers = sizes.num_layers
        self.patch_size = sizes.patch_size
        self.num_prefix_tokens = 1
        self.window_size = window_size
        if out_of_range := [i for i in global_indices if not -self.num_layers <= i < self.num_layers]:
            raise ValueError(f"global_indices {out_of_range} are out of range: this network has {self.num_layers} blocks")
        self.global_indices = {i % self.num_layers for i in global_indices}
        init_beit3(self, sizes.init)
        self.freeze()

    def embed_image(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed (B, in_channels, H, W) to tokens (B, 1 + h * w, C) and the grid (h, w)."""
        return self.embed(image)

    def run(self, tokens: Tensor, grid: tuple[int, int], first: int, last: int) -> Tensor:
        """Run blocks ``first`` to ``last - 1`` over tokens (B, 1 + h * w, C); no final norm."""
        order: WindowOrder | GatheredWindows | None = None
        if self.window_size and any(index not in self.global_indices for index in range(first, last)):
            geometry = grid, self.window_size, self.num_prefix_tokens
            order = GatheredWindows(*geometry, tokens.device) if exporting() else WindowOrder(*geometry)
            tokens = order.enter(tokens)
        residuals = [Residual(tokens)]
        for index in range(first, last):
            attention = attend if order is None or index in self.global_indices else order.attend
            residuals = run_layer([Segment(self)], residuals, index, partial(joint_attention, attend=attention))
        tokens = residuals[0].sum()
        return tokens if order is None else order.leave(tokens)

    def normalize(self, tokens: Tensor) -> Tensor:
        """Apply the final norm, if it was built, to tokens (B, 1 + h * w, C)."""
        return self.norm(tokens)

    def stages(self) -> list[list[nn.Module | nn.Parameter]]:
        """List the embedding, then each block with its stochastic depth."""
        stages: list[list[nn.Module | nn.Parameter]] = [[self.embed]]
        stages += [[layer, drop] for layer, drop in zip(self.layers, self.drop_paths, strict=True)]
        return stages


def _grid(image_size: int | Sequence[int] | None, patch_size: int) -> tuple[int, int] | None:
    if image_size is None:
        return None
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    if min(height, width) < patch_size:
        raise ValueError(f"image_size {image_size} is smaller than a patch of {patch_size} pixels")
    return height // patch_size, width // patch_size
