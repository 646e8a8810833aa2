"""timm's Vision Transformers built so that they can be run block by block."""

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
    """Build a model of timm's without head and pooling, for images of any size.

    timm's models that average their patches have their final norm behind the average, as ``fc_norm``; of these it becomes
    ``norm``, with its weights, and is then applied to each patch.

    Args:
        name: timm's, with or without a weight tag.
        pretrained: load timm's weights of that name; may download.
        image_size: side in pixels, or (height, width), whose grid the position table has; default the model's.
        patch_size: side of a patch in pixels, or in cells of a convolutional stem's map; default the model's.
        drop_path_rate: stochastic depth at the last block.
        final_norm: keep the final norm.
        in_channels: of images; timm fits its weights to them.

    Raises:
        ValueError: if timm has no such model, it is none that can be run block by block, or has no grid for this size.
        UserError: if timm's weights cannot be had.
    """
    if not timm.is_model(name):
        close = difflib.get_close_matches(name.partition(".")[0], timm.list_models(), 5)
        raise ValueError(f"timm has no model '{name}'" + (f"; near it are {', '.join(close)}" if close else ""))
    # Before anything is built or downloaded: a module of timm's that makes such models has their class.
    module = timm.model_entrypoint(name).__module__
    if not any(vars(sys.modules[module]).get(kind.__name__) is kind for kind in (VisionTransformer, Eva)):
        raise ValueError(_unsupported(name, f"{module} makes it of another class"))
    options: dict[str, Any] = {"img_size": image_size, "patch_size": patch_size, "in_chans": in_channels}
    options = {key: value for key, value in options.items() if value is not None}
    try:
        # timm's own pooling decides where its final norm stands, and so where its weights go.
        model = timm.create_model(
            name, pretrained=pretrained, num_classes=0, dynamic_img_size=True, drop_path_rate=drop_path_rate, **options
        )
    except (OSError, RuntimeError, KeyError) as error:
        if not pretrained:
            raise
        raise UserError(f"timm's weights of '{name}' cannot be had: {one_line(error)}; use init_cfg for a file") from error
    except AssertionError as error:
        raise ValueError(
            f"timm cannot build '{name}' for image_size {image_size}{one_line(f': {error}' if error.args else '')}; "
            "of models with a convolutional stem it must be a multiple of the stem's stride times the patch"
        ) from error
    if not isinstance(model, VisionTransformer | Eva):
        raise ValueError(_unsupported(name, f"it is a {type(model).__name__}"))
    _strip(model, final_norm)
    return model


def _strip(model: VisionTransformer | Eva, final_norm: bool) -> None:
    """Leave nothing behind the blocks but the final norm, so that no parameter stays without a gradient."""
    model.reset_classifier(0, "")
    if not final_norm:
        model.norm = nn.Identity()
    elif isinstance(model.norm, nn.Identity):
        model.norm = model.fc_norm
    model.fc_norm = nn.Identity()
    # Of Eva, timm's older versions keep it.
    model.attn_pool = None  # type: ignore[assignment]


def _unsupported(name: str, reason: str) -> str:
    return f"timm's '{name}' cannot be run block by block ({reason}): TimmViT takes timm's VisionTransformer and Eva"
