"""The VQ-KD image tokenizer: it turns images into codes and is trained to rebuild a teacher's features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.ops import widened
from mmbeit3.pretrain.image_tokenizers.from_vit import start_projection
from mmbeit3.pretrain.image_tokenizers.quantizer import Quantizer, gather_rows
from mmbeit3.pretrain.image_tokenizers.vit import TokenizerViT, init_linear
from mmbeit3.pretrain.ranks import world_size

__all__ = ["VQKD", "build_vqkd", "codes_for_grid"]


class VQKD(nn.Module):
    """Vector-quantised knowledge distillation (BEiT v2, arXiv 2208.06366, section 2.2).

    The patch features of a ViT are projected to a few dimensions, normalised and replaced by the nearest code. In training, a
    small decoder rebuilds a teacher's patch features from the codes. Parameters are named as in the released files.

    Args:
        dims: width of the encoder.
        depth: number of the encoder's blocks.
        heads: number of attention heads of each of the encoder's blocks.
        image_size: side of the square image in pixels.
        patch_size: side of a patch in pixels.
        num_codes: number of codes in the codebook.
        code_dims: width of a code.
        decoder_depth: number of the decoder's blocks.
        decoder_dims: width of the decoder; the encoder's by default. Its heads have the width of the encoder's heads.
        teacher_dims: width of the teacher's features. None builds no decoder, which :meth:`encode` does not need.
        frozen: True for a tokenizer that gives targets and is not trained, see :meth:`freeze`.
        revive_below: use of a code below which training replaces it, see
            :class:`~mmbeit3.pretrain.image_tokenizers.quantizer.Quantizer`. 0 replaces none, as in BEiT v2.

    Raises:
        ValueError: if the image size is not a multiple of the patch size, or the width not a multiple of the heads.
    """

    def __init__(
        self,
        dims: int,
        depth: int,
        heads: int,
        image_size: int,
        patch_size: int,
        num_codes: int = 8192,
        code_dims: int = 32,
        decoder_depth: int = 3,
        decoder_dims: int | None = None,
        teacher_dims: int | None = None,
        frozen: bool = False,
        revive_below: float = 0.0,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"the tokenizer's image_size {image_size} is not a multiple of its patch_size {patch_size}")
        if dims % heads:
            raise ValueError(f"the tokenizer's width of {dims} is not a multiple of its {heads} heads")
        self.patch_size = patch_size
        self.grid = (image_size // patch_size,) * 2
        self.num_codes = num_codes
        self.teacher_dims = teacher_dims
        self.frozen = False
        self.encoder = TokenizerViT(3, self.grid, patch_size, dims, depth, heads)
        self.encode_task_layer = _projection(dims, code_dims)
        self.quantize = Quantizer(num_codes, code_dims, revive_below=revive_below)
        if teacher_dims is not None:
            decoder_dims = decoder_dims or dims
            decoder_heads = max(decoder_dims * heads // dims, 1)
            self.decoder = TokenizerViT(code_dims, self.grid, 1, decoder_dims, decoder_depth, decoder_heads)
            self.decode_task_layer = _projection(decoder_dims, teacher_dims)
        if frozen:
            self.freeze()

    @classmethod
    def base(cls, teacher_dims: int | None = 512, decoder_depth: int = 3, frozen: bool = False) -> VQKD:
        """Build a tokenizer of the released sizes: ViT-B/16 at 224 pixels, 8192 codes of 32 dimensions.

        Args:
            teacher_dims: 512 for CLIP, 768 for DINO, None to build no decoder.
            decoder_depth: 3 or 1 in the released files.
            frozen: see :meth:`freeze`.
        """
        return cls(768, 12, 12, 224, 16, decoder_depth=decoder_depth, teacher_dims=teacher_dims, frozen=frozen)

    def freeze(self) -> VQKD:
        """Switch to evaluation mode permanently and turn off gradients; return the tokenizer.

        A model that contains the tokenizer calls :meth:`train` on all its modules. Without this method the codebook would then
        be updated, and the targets would drift.
        """
        self.frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> VQKD:
        """Switch to training mode, unless frozen."""
        return super().train(mode and not self.frozen)

    def embed(self, image: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Compute unit vectors of image patches before quantisation. The projection runs outside of autocast.

        Args:
            image: (B, 3, H, W), values in [0, 1], *not* normalised by ImageNet's statistics.
            grid: (h, w) of the patches, with H = h * patch_size and W = w * patch_size; ``self.grid`` by default. The position
                table is resized bicubically to another grid.

        Returns:
            (B, h * w, code_dims), in at least float32, patches row-major.

        Raises:
            ValueError: if the image does not have this size.
        """
        h, w = self.grid if grid is None else grid
        wanted = (3, h * self.patch_size, w * self.patch_size)
        if image.ndim != 4 or tuple(image.shape[1:]) != wanted:
            raise ValueError(
                f"the tokenizer needs images (B, {', '.join(map(str, wanted))}) for its grid of {h} x {w} patches of "
                f"{self.patch_size} pixels, got {tuple(image.shape)}: resize them first, or use codes_for_grid"
            )
        # Mean and deviation 0.5, as in the released tokenizers. It does not depend on the normalisation of BEiT-3's input.
        features = self.encoder(image * 2 - 1)
        with torch.autocast(image.device.type, enabled=False):
            # The nearest code depends on small differences, which half precision would lose.
            projected = self.encode_task_layer(features.to(self.encode_task_layer[0].weight.dtype))
            return F.normalize(widened(projected), dim=-1)

    @torch.no_grad()
    def start_codes(self, image: Tensor) -> None:
        """Set the projection and the codebook by images, if the codebook is not initialised; for a trained encoder.

        The projection becomes the principal components of the patch features of all ranks, see
        :func:`~mmbeit3.pretrain.image_tokenizers.start_projection`, and the codebook a k-means of the embeddings.

        Args:
            image: this rank's images, see :meth:`embed`.
        """
        if self.quantize.embedding.initted.item():
            return
        features = gather_rows(self.encoder(image * 2 - 1).flatten(0, 1).float())
        start_projection(self.encode_task_layer, features)
        if world_size() > 1:
            for parameter in self.encode_task_layer.parameters():
                dist.broadcast(parameter.data, src=0)
        self.quantize.embedding.init_by_kmeans(self.embed(image).flatten(0, 1))

    @torch.no_grad()
    def encode(self, image: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Return the codes (B, h * w), int64, of images (B, 3, H, W) in [0, 1]; arguments and errors as in :meth:`embed`.

        The codebook is not updated, even in training mode.
        """
        return self.quantize.codes(self.embed(image, grid))

    def decode(self, codes: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
        """Rebuild the teacher's features from codes.

        Args:
            codes: (B, h * w), int64.
            grid: (h, w) of the patches; ``self.grid`` by default.

        Returns:
            (B, h * w, teacher_dims).

        Raises:
            ValueError: if the number of codes is not h * w, or the tokenizer has no decoder.
        """
        h, w = self.grid if grid is None else grid
        if codes.ndim != 2 or codes.shape[1] != h * w:
            raise ValueError(f"codes of a grid of {h} x {w} must be (B, {h * w}), got {tuple(codes.shape)}")
        return self._rebuild(self.quantize.vectors(codes), (h, w))

    def forward(self, image: Tensor, teacher_features: Tensor) -> dict[str, Tensor]:
        """Return the losses of :meth:`distill`."""
        return self.distill(image, teacher_features)[0]

    def distill(self, image: Tensor, teacher_features: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Compute the training losses. In training mode each call also updates the codebook.

        Args:
            image: (B, 3, image_size, image_size), values in [0, 1].
            teacher_features: the teacher's patch features (B, h * w, teacher_dims) on the tokenizer's grid.

        Returns:
            ``loss_reconstruction``, one minus the cosine similarity of rebuilt and teacher features, averaged over patches, and
            ``loss_commitment`` of :class:`~mmbeit3.pretrain.image_tokenizers.quantizer.Quantizer`, scalars to be summed; and
            the codes (B, h * w), int64, of the images.

        Raises:
            ValueError: if an input has another shape, or the tokenizer has no decoder.
        """
        h, w = self.grid
        wanted = (len(image), h * w, self.teacher_dims)
        if self.teacher_dims is not None and tuple(teacher_features.shape) != wanted:
            raise ValueError(
                f"the teacher's features must be {wanted}, (B, patches, dims), got {tuple(teacher_features.shape)}"
            )
        vectors, commitment, codes = self.quantize(self.embed(image))
        rebuilt = self._rebuild(vectors, self.grid)
        cosine = F.cosine_similarity(widened(rebuilt), widened(teacher_features.detach()), dim=-1)
        return {"loss_reconstruction": 1 - cosine.mean(), "loss_commitment": commitment}, codes

    def _rebuild(self, vectors: Tensor, grid: tuple[int, int]) -> Tensor:
        if self.teacher_dims is None:
            raise ValueError(
                "this tokenizer was built without a decoder: give teacher_dims, or load a file that contains a decoder"
            )
        return self.decode_task_layer(self.decoder(vectors.mT.unflatten(2, grid)))


def build_vqkd(sizes: Mapping[str, Any], **changes: Any) -> VQKD:
    """Build a tokenizer of random weights from the arguments in a config.

    Args:
        sizes: arguments of :class:`VQKD`, or ``preset='base'`` with arguments of :meth:`VQKD.base`.
        **changes: arguments that override those in ``sizes``.

    Raises:
        ValueError: if the preset is unknown, or the sizes do not fit each other.
    """
    arguments = {**sizes, **changes}
    preset = arguments.pop("preset", None)
    if preset not in (None, "base"):
        raise ValueError(f"unknown preset of the tokenizer, {preset!r}: use 'base', or give the sizes")
    return VQKD.base(**arguments) if preset else VQKD(**arguments)


def codes_for_grid(tokenizer: VQKD, image: Tensor, grid: tuple[int, int]) -> Tensor:
    """Compute codes on a model's patch grid, for any patch size of the model.

    The image is resized (bicubic, antialiased, clamped to [0, 1]) so that the tokenizer has the same grid as the model: a model
    with patches of 14 at 224 pixels has 16 x 16 patches, so a tokenizer with patches of 16 gets 256 pixels. Each code then
    covers the same part of the image as the model's patch.

    Args:
        tokenizer: the image tokenizer.
        image: (B, 3, H, W), values in [0, 1].
        grid: (h, w) of the model's patches.

    Returns:
        (B, h * w), int64, row-major.

    Raises:
        ValueError: if the grid is empty, or the image is not a floating-point tensor (B, 3, H, W).
    """
    h, w = grid
    if min(grid) < 1:
        raise ValueError(f"grid of {h} x {w} patches: give at least one row and one column")
    if image.ndim != 4 or not image.is_floating_point():
        raise ValueError(f"images must be floating-point (B, 3, H, W) in [0, 1], got {image.dtype} {tuple(image.shape)}")
    size = (h * tokenizer.patch_size, w * tokenizer.patch_size)
    if tuple(image.shape[2:]) != size:
        image = F.interpolate(widened(image), size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return tokenizer.encode(image, grid)


def _projection(dims: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dims, dims), nn.Tanh(), nn.Linear(dims, out)).apply(init_linear)
