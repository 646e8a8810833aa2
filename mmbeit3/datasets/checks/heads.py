"""Whether a config's model is made for the classes and masks of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbeit3.errors import UserError

__all__ = ["check_heads", "check_slide", "trains_masks_on_boxes"]


def check_heads(cfg: Any, count: int, where: str, name: str = "model") -> None:
    """Check that every head is made for as many classes as there are.

    A head for fewer crashes in training, one for more in evaluation.

    Args:
        cfg: the model's config, or a part of it.
        count: classes of the data.
        where: what to call the data.
        name: what to call the part.

    Raises:
        UserError: naming the head and its setting.
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
            raise UserError(f"{where} has {count} classes, but {name} is made for {wanted}: set its {setting} to {count}")
    elif isinstance(cfg, list | tuple):
        for index, value in enumerate(cfg):
            check_heads(value, count, where, f"{name}[{index}]")


def check_slide(model: Mapping[str, Any]) -> None:
    """Check that a Mask2Former is not tested on windows of images that were padded as a whole.

    mmseg's head enlarges each window's masks to the size of the padded image.

    Raises:
        UserError: if it is.
    """
    head = model.get("decode_head")
    if not isinstance(head, Mapping) or not str(head.get("type")).endswith("Mask2FormerHead"):
        return
    padding = (model.get("data_preprocessor") or {}).get("test_cfg") or {}
    if (model.get("test_cfg") or {}).get("mode") == "slide" and ({"size", "size_divisor"} & set(padding)):
        raise UserError(
            "model.test_cfg has mode='slide', and model.data_preprocessor.test_cfg pads whole images: mmseg's Mask2Former "
            "cannot have both; set model.data_preprocessor.test_cfg=None, or mode='whole'"
        )


def trains_masks_on_boxes(model: Mapping[str, Any]) -> str:
    """What to change in a config so that it trains on boxes alone."""
    if isinstance(model.get("roi_head"), Mapping) and model["roi_head"].get("mask_head") is not None:
        return (
            "for boxes alone set model.roi_head.mask_head=None, with_mask=False in LoadAnnotations of the pipelines, and "
            "metric='bbox' in the evaluators"
        )
    return "add masks, or take a config without masks (with_mask=False in LoadAnnotations, metric='bbox' in the evaluators)"
