"""Checks that a config's model fits the classes and masks of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["boxes_only_hint", "check_heads", "check_slide"]


def check_heads(cfg: Any, count: int, where: str, name: str = "model") -> None:
    """Check that every head has the number of classes of the data.

    A head with fewer classes crashes in training, a head with more in evaluation.

    Args:
        cfg: the model's config, or a part of it.
        count: number of classes of the data.
        where: name of the data, for the error message.
        name: name of the part of the config.

    Raises:
        UserError: naming the head and the setting to change.
    """
    if isinstance(cfg, Mapping):
        for key, value in cfg.items():
            check_heads(value, count, where, f"{name}.{key}")
        wanted, setting = cfg.get("num_classes"), "num_classes"
        if "num_things_classes" in cfg:
            wanted, setting = (
                cfg["num_things_classes"] + cfg.get("num_stuff_classes", 0),
                "num_things_classes + num_stuff_classes",
            )
        if wanted is not None and wanted != count:
            raise UserError(f"{where} has {count} classes, but {name} has {wanted}: set its {setting} to {count}")
    elif isinstance(cfg, list | tuple):
        for index, value in enumerate(cfg):
            check_heads(value, count, where, f"{name}[{index}]")


def check_slide(model: Mapping[str, Any]) -> None:
    """Check that a Mask2Former does not combine sliding windows with padding of whole images in testing.

    mmseg's head resizes the masks of each window to the size of the whole padded image.

    Raises:
        UserError: if the config has both.
    """
    head = model.get("decode_head")
    if not isinstance(head, Mapping) or not str(head.get("type")).endswith("Mask2FormerHead"):
        return
    padding = (model.get("data_preprocessor") or {}).get("test_cfg") or {}
    if (model.get("test_cfg") or {}).get("mode") == "slide" and ({"size", "size_divisor"} & set(padding)):
        raise UserError(
            "model.test_cfg has mode='slide', and model.data_preprocessor.test_cfg pads whole images: mmseg's Mask2Former "
            "does not support both; set model.data_preprocessor.test_cfg=None, or mode='whole'"
        )


def boxes_only_hint(model: Mapping[str, Any]) -> str:
    """Return the end of an error message that explains how to train on boxes without masks."""
    if isinstance(model.get("roi_head"), Mapping) and model["roi_head"].get("mask_head") is not None:
        return (
            "to train on boxes only, use configs/mine/detection.py, or set model.roi_head.mask_head=None, with_mask=False in "
            "LoadAnnotations of the pipelines, and metric='bbox' in the evaluators"
        )
    return (
        "add masks, or use a config without masks, such as configs/mine/detection.py (with_mask=False in LoadAnnotations, "
        "metric='bbox' in the evaluators)"
    )
