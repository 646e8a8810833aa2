"""Build timm's Vision Transformers so that their blocks can be run one by one."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from typing import Any

import timm
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from mmbeit3.errors import UserError, one_line

__all__ = ["create_vit"]


def create_vit(
    name: str,
    pretrained: bool = False,
    image_size: int | Sequence[int] | None = None,
    patch_size: int | None = None,
    drop_path_rate: float = 0.0,
    final_norm: bool = False,
    in_channels: int = 3,
) -> VisionTransformer | Eva:
    """Build a timm model without head and pooling, for images of any size.

    Models that average their patches apply the final norm to the average, as ``fc_norm``. Here it is renamed to ``norm``, with
    its weights, and applied to each patch.

    Args:
        name: timm's model name, with or without a weight tag.
        pretrained: load timm's weights for that name; may download.
        image_size: side in pixels, or (height, width), of the image that the position table is for; default the model's.
        patch_size: side of a patch in pixels, or in cells of a convolutional stem's map; default the model's.
        drop_path_rate: stochastic depth at the last block.
        final_norm: keep the final norm.
        in_channels: channels of images; timm adapts its weights to them.

    Raises:
        ValueError: if timm has no such model, or if it cannot be run block by block or built for this size.
        UserError: if timm's weights cannot be loaded.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), 5)
        raise ValueError(
            f"timm has no model '{name}'" + (f"; similar names: {', '.join(close)}" if close else "; see timm.list_models()")
        )
    # Checked before anything is built or downloaded: timm's modules that build such models contain the class.
    module = timm.model_entrypoint(name).__module__
    if not any(vars(sys.modules[module]).get(kind.__name__) is kind for kind in (VisionTransformer, Eva)):
        raise ValueError(_unsupported(name, f"{module} builds another class"))
    options: dict[str, Any] = {"img_size": image_size, "patch_size": patch_size, "in_chans": in_channels}
    options = {key: value for key, value in options.items() if value is not None}
    try:
        # Keep timm's pooling: it decides if the final norm is named norm or fc_norm, and so which weights it gets.
        model = timm.create_model(
            name, pretrained=pretrained, num_classes=0, dynamic_img_size=True, drop_path_rate=drop_path_rate, **options
        )
    except (OSError, RuntimeError, KeyError) as error:
        if not pretrained:
            raise
        raise UserError(
            f"timm's weights of '{name}' cannot be loaded: {one_line(error)}; to load a file, set checkpoint= instead"
        ) from error
    except AssertionError as error:
        raise ValueError(
            f"timm cannot build '{name}' for image_size {image_size}{one_line(f': {error}' if error.args else '')}; "
            "with a convolutional stem, image_size must be a multiple of the stem's stride times the patch size"
        ) from error
    if not isinstance(model, VisionTransformer | Eva):
        raise ValueError(_unsupported(name, f"its class is {type(model).__name__}"))
    _remove_head(model, final_norm)
    return model


def _remove_head(model: VisionTransformer | Eva, final_norm: bool) -> None:
    """Remove everything after the blocks except the final norm, so that every parameter gets a gradient."""
    model.reset_classifier(0, "")
    if not final_norm:
        model.norm = nn.Identity()
    elif isinstance(model.norm, nn.Identity):
        model.norm = model.fc_norm
    model.fc_norm = nn.Identity()
    # Older versions of timm keep it in Eva models.
    model.attn_pool = None  # type: ignore[assignment]


def _unsupported(name: str, reason: str) -> str:
    return f"timm's '{name}' cannot be run block by block ({reason}): TimmViT supports timm's VisionTransformer and Eva"
