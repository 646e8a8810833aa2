"""Test-time augmentation of two-stage detectors with boxes and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmbeit3.registry import MODELS

__all__ = ["InstanceTTAModel"]

_FLIPPED_AXES = {"horizontal": (-1,), "vertical": (-2,), "diagonal": (-2, -1)}


@MODELS.register_module()
class InstanceTTAModel(BaseModel):
    """Detect objects in several views (scales, flips) of an image, and merge them with the detector's ``test_cfg.rcnn``.

    Boxes of all views are pooled, and non-maximum suppression runs once, as for a single view. Then the mask head predicts the
    kept boxes in every view, and its probabilities are averaged over views and cascade stages. (mmdet's ``DetTTAModel``
    suppresses twice and does not support masks.) The feature maps of all views are in memory at the same time.

    Args:
        module: config of a two-stage detector of mmdet, with or without a mask head.
    """

    def __init__(self, module: dict[str, Any]) -> None:
        super().__init__()
        self.module = MODELS.build(module)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        """Raise an error: this model only supports :meth:`test_step`.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("InstanceTTAModel supports only test_step: train the detector without it")

    @torch.no_grad()
    def test_step(self, data: Mapping[str, Sequence[Any]]) -> list[Any]:
        """Detect objects in all views of a batch, and merge them.

        Args:
            data: ``inputs`` and ``data_samples``, each a list over views of lists over images, as from mmcv's ``TestTimeAug``.

        Returns:
            The first view's data samples with ``pred_instances`` in the original image's pixels.
        """
        views = [
            self.module.data_preprocessor({"inputs": inputs, "data_samples": samples}, training=False)
            for inputs, samples in zip(data["inputs"], data["data_samples"], strict=True)
        ]
        features = [self.module.extract_feat(view["inputs"]) for view in views]
        found = [self._boxes(maps, view["data_samples"]) for maps, view in zip(features, views, strict=True)]
        samples = views[0]["data_samples"]
        for index, sample in enumerate(samples):
            instances = self._suppress([view[index] for view in found])
            if self.module.roi_head.with_mask:
                metas = [view["data_samples"][index].metainfo for view in views]
                maps = [[level[index : index + 1] for level in levels] for levels in features]
                instances = self._add_masks(instances, maps, metas)
            sample.pred_instances = instances
        return samples

    def _boxes(self, maps: Sequence[Tensor], samples: Sequence[Any]) -> list[tuple[Tensor, Tensor]]:
        """Predict boxes (N, 4 or 4 * classes), in pixels of the original image, and scores (N, classes + 1), in one view."""
        from mmdet.structures.bbox import bbox_flip

        proposals = self.module.rpn_head.predict(maps, samples, rescale=False)
        metas = [sample.metainfo for sample in samples]
        # None as test config: predict all boxes, without suppression.
        results = self.module.roi_head.predict_bbox(maps, metas, proposals, None, rescale=True)
        found = []
        for result, meta in zip(results, metas, strict=True):
            boxes = result.bboxes
            if meta.get("flip"):
                boxes = bbox_flip(boxes, meta["ori_shape"], meta["flip_direction"])
            found.append((boxes, result.scores))
        return found

    def _suppress(self, views: Sequence[tuple[Tensor, Tensor]]) -> InstanceData:
        from mmdet.models.layers import multiclass_nms

        cfg = self.module.test_cfg.rcnn
        boxes, scores = (torch.cat(parts) for parts in zip(*views, strict=True))
        kept, labels = multiclass_nms(boxes, scores, cfg.score_thr, cfg.nms, cfg.max_per_img)
        return InstanceData(bboxes=kept[:, :4], scores=kept[:, 4], labels=labels)

    def _add_masks(
        self, instances: InstanceData, views: Sequence[Sequence[Tensor]], metas: Sequence[Mapping[str, Any]]
    ) -> InstanceData:
        from mmdet.models.utils import empty_instances
        from mmdet.structures.bbox import bbox2roi, bbox_flip

        head = self.module.roi_head
        # Boxes and pasted masks are in pixels of the original image.
        original = {**metas[0], "scale_factor": (1.0, 1.0)}
        if not len(instances):
            threshold = head.test_cfg.mask_thr_binary
            return empty_instances(
                [original], instances.bboxes.device, "mask", instance_results=[instances], mask_thr_binary=threshold
            )[0]
        probabilities = []
        for maps, meta in zip(views, metas, strict=True):
            boxes = instances.bboxes * instances.bboxes.new_tensor(meta["scale_factor"]).repeat(2)
            axes: tuple[int, ...] = ()
            if meta.get("flip"):
                boxes = bbox_flip(boxes, meta["img_shape"], meta["flip_direction"])
                axes = _FLIPPED_AXES[meta["flip_direction"]]
            rois = bbox2roi([boxes])
            for extractor, mask_head in self._mask_stages():
                logits = mask_head(extractor(maps[: extractor.num_inputs], rois))
                probabilities.append(logits.sigmoid().flip(axes))
        average = torch.stack(probabilities).mean(dim=0)
        last = [mask_head for _, mask_head in self._mask_stages()][-1]
        return last.predict_by_feat([average], [instances], [original], head.test_cfg, activate_map=True)[0]

    def _mask_stages(self) -> Iterator[tuple[Any, Any]]:
        """Return the RoI extractor and mask head of each cascade stage."""
        parts = []
        for part in (self.module.roi_head.mask_roi_extractor, self.module.roi_head.mask_head):
            parts.append(list(part) if isinstance(part, nn.ModuleList) else [part])
        return cast("Iterator[tuple[Any, Any]]", zip(*parts, strict=True))
