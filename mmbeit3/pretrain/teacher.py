"""The teacher of an image tokenizer: a frozen timm model that gives patch features."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.data import resolve_model_data_config
from torch import Tensor, nn
from torch.nn import functional as F

from mmbeit3.checkpoint import read_state_dict
from mmbeit3.errors import UserError, one_line

__all__ = ["TimmTeacher"]


class TimmTeacher(nn.Module):
    """A frozen timm model that gives features on a tokenizer's grid.

    The model is always in evaluation mode and moves to other devices with its owner. It is in neither the owner's parameters
    nor its state dict, so it is not saved.

    Args:
        model: name of a timm model with ``forward_intermediates``: ViTs, convnets and most others have it.
        grid: (h, w) of the tokenizer's patches.
        pretrained: True to load timm's weights of this model, which may download them.
        checkpoint: file of weights to load instead, in timm's layout or one that timm converts.
        image_size: (height, width) in pixels of the model's input. By default the grid times the layer's stride, which makes
            the feature map as large as the grid. The feature map of another size is resized to the grid.
        layer: index of the block or stage whose output is used, from 0, or from -1 backwards. The final norm is applied to the
            last one if the model has a final norm for patches.
        project: True to apply the head of a ViT to each patch. The head of timm's CLIP models is CLIP's projection to the
            space of images and texts (512 wide for ViT-B/16), whose features train BEiT v2's tokenizers.
        seed: seed of random weights. They do not depend on the global generator, whose state does not change.

    Attributes:
        dims: width of the features.

    Raises:
        UserError: if timm does not have the model, layer or weights, the file does not fit, or the model has no head to
            project with.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: str,
        grid: tuple[int, int],
        pretrained: bool = False,
        checkpoint: str | Path | None = None,
        image_size: tuple[int, int] | None = None,
        layer: int = -1,
        project: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not timm.is_model(model):
            raise UserError(f"teacher: timm has no model '{model}': timm.list_models() lists all names")
        with torch.device("meta"):
            shape: Any = timm.create_model(model)
        if not hasattr(shape, "forward_intermediates"):
            raise UserError(f"teacher: timm's '{model}' has no forward_intermediates: choose a ViT or a convnet")
        layers = list(shape.feature_info)
        if not -len(layers) <= layer < len(layers):
            raise UserError(
                f"teacher: timm's '{model}' has layers 0 to {len(layers) - 1}, or -1 to -{len(layers)}, not {layer}"
            )
        self.grid = grid
        self.layer = layer % len(layers)
        self.last = self.layer == len(layers) - 1
        stride = int(layers[layer]["reduction"])
        self.image_size = (grid[0] * stride, grid[1] * stride) if image_size is None else tuple(image_size)
        options = {"img_size": self.image_size} if shape.pretrained_cfg.get("fixed_input_size") else {}
        net = _create(model, pretrained, checkpoint, seed, options)
        # Inside a tuple, the model is not registered as a submodule.
        self._net = (net.requires_grad_(False).eval(),)
        self.project = project
        head = net.get_classifier()
        if project and not (self.last and hasattr(net, "fc_norm") and isinstance(head, nn.Linear)):
            raise UserError(f"teacher: project=True needs the last layer of a ViT with a head, got layer {layer} of '{model}'")
        channels = layers[layer]["num_chs"]
        if self.last:
            # In some models (SAM) the final norm includes a projection, which changes the width.
            channels = layers[layer].get("num_chs_norm", channels)
        self.dims = int(head.out_features if project else channels)
        data = resolve_model_data_config(net)
        self.register_buffer("mean", torch.tensor(data["mean"]).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(data["std"]).view(-1, 1, 1), persistent=False)

    @property
    def net(self) -> nn.Module:
        """The timm model."""
        return cast(nn.Module, self._net[0])

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Compute features of image patches.

        Args:
            image: (B, 3, H, W), values in [0, 1]; resized (bicubic, antialiased) to ``image_size``.

        Returns:
            (B, h * w, dims), patches row-major.
        """
        (net,) = self._net
        if tuple(image.shape[2:]) != self.image_size:
            image = F.interpolate(image, self.image_size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        (features,) = net.forward_intermediates(
            (image - self.mean) / self.std,
            indices=[self.layer],
            norm=self.last,
            stop_early=True,
            intermediates_only=True,
        )
        if tuple(features.shape[2:]) != self.grid:
            features = F.interpolate(features, self.grid, mode="bilinear", antialias=True, align_corners=False)
        rows = features.flatten(2).mT
        if self.last and hasattr(net, "fc_norm"):
            # ViTs that average their patches have the final norm behind the pooling, so forward_intermediates does not apply
            # it.
            rows = net.fc_norm(rows)
        return net.get_classifier()(rows) if self.project else rows

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TimmTeacher:
        """Apply ``to()``, ``cuda()`` and similar calls to the unregistered model, too."""
        self._net[0]._apply(fn, recurse)
        return cast(TimmTeacher, super()._apply(fn, recurse))


def _create(name: str, pretrained: bool, checkpoint: str | Path | None, seed: int, options: dict[str, Any]) -> Any:
    if checkpoint is not None:
        # timm converts and resizes the state dict. Its own reader gives less helpful errors for unusable files.
        options = {**options, "pretrained_cfg_overlay": {"state_dict": read_state_dict(checkpoint)}}
    weights = f"weights of '{name}'" if checkpoint is None else f"'{checkpoint}' for '{name}'"
    # Seeds only the CPU generator; torch.manual_seed would seed all devices.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            net: Any = timm.create_model(name, pretrained=pretrained or checkpoint is not None, **options)
        except (OSError, RuntimeError, KeyError) as error:
            reason = one_line(error)[:300]
            raise UserError(f"teacher: {weights} cannot be used ({reason}): give another model or checkpoint=") from error
    net.pretrained_cfg.pop("state_dict", None)
    return net
