"""Panoptic quality of mmdet's panoptic models on COCO-format ground truth, without ``panopticapi``, which PyPI has not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger

from mmbeit3.datasets.panoptic import read_segment_ids
from mmbeit3.errors import UserError
from mmbeit3.evaluation.metrics.counts import report_scored
from mmbeit3.evaluation.metrics.panoptic_quality import VOID, PanopticStatistics, Segment, average, compare
from mmbeit3.registry import METRICS

__all__ = ["CocoPanopticQualityMetric"]


@METRICS.register_module()
class CocoPanopticQualityMetric(BaseMetric):
    """PQ, SQ and RQ (in percent) over all classes, things (``_th``) and stuff (``_st``), by COCO's rules.

    Args:
        ann_file: COCO panoptic annotations.
        seg_prefix: folder of the PNGs whose colours hold segment ids, R + 256 G + 65536 B.
        classwise: also log every class.
        collect_device: MMEngine's.
        prefix: stands before the names; default ``coco_panoptic``.

    Raises:
        UserError: if files are missing or no panoptic annotations.
    """

    default_prefix = "coco_panoptic"

    def __init__(
        self,
        ann_file: str,
        seg_prefix: str,
        classwise: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        path = Path(ann_file)
        if not path.is_file() or not Path(seg_prefix).is_dir():
            raise UserError(f"panoptic ground truth is missing: file '{ann_file}' with PNGs in '{seg_prefix}'")
        try:
            content = json.loads(path.read_bytes())
            self.annotations = {entry["image_id"]: entry for entry in content["annotations"]}
            self.categories = {c["id"]: (c["name"], bool(c["isthing"])) for c in content["categories"]}
            counts = len(content["annotations"]), len(content["categories"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"'{ann_file}' holds no COCO panoptic annotations ({type(error).__name__}: {error})") from error
        if counts != (len(self.annotations), len(self.categories)):
            raise UserError(f"'{ann_file}' has an image_id or a category twice: give each annotation its own")
        self.ann_file = ann_file
        self.seg_prefix = Path(seg_prefix)
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Compare the predictions of a batch, ``pred_panoptic_seg.sem_seg`` (1, H, W), with the ground truth."""
        for sample in data_samples:
            if sample["img_id"] not in self.annotations:
                raise UserError(f"image {sample['img_id']} is not in the panoptic ground truth '{self.ann_file}'")
            entry = self.annotations[sample["img_id"]]
            truth = read_segment_ids(self.seg_prefix / entry["file_name"])
            segments = {s["id"]: Segment(s["category_id"], bool(s.get("iscrowd"))) for s in entry["segments_info"]}
            predicted, found = self._predicted(sample["pred_panoptic_seg"])
            try:
                self.results.append(compare(truth, segments, predicted, found))
            except ValueError as error:
                raise UserError(f"panoptic evaluation of image {sample['img_id']} ('{entry['file_name']}'): {error}") from error

    def _predicted(self, panoptic: dict[str, Any]) -> tuple[np.ndarray, dict[int, Segment]]:
        """Ids from 1 and their categories; mmdet codes class + instance * INSTANCE_OFFSET, with a class for void."""
        from mmdet.evaluation.functional import INSTANCE_OFFSET

        # On a GPU mmdet leaves it there.
        coded = torch.as_tensor(panoptic["sem_seg"]).cpu().numpy().squeeze(0)
        names = {name: category for category, (name, _) in self.categories.items()}
        classes = (self.dataset_meta or {}).get("classes", ())
        if missing := [name for name in classes if name not in names]:
            raise UserError(f"classes {', '.join(missing)} are not among the categories of '{self.ann_file}'")
        void = {len(classes), panoptic.get("ignore_index", len(classes))}
        ids = np.full(coded.shape, VOID, np.int64)
        segments = {}
        for number, code in enumerate(np.unique(coded).tolist(), start=1):
            label = code % INSTANCE_OFFSET
            if label not in void:
                if label > len(classes):
                    raise UserError(f"the model predicts class {label}, but the dataset names {len(classes)} classes")
                ids[coded == code] = number
                segments[number] = Segment(names[classes[label]])
        return ids, segments

    def compute_metrics(self, results: list[dict[int, PanopticStatistics]]) -> dict[str, float]:
        """Sum over images and average over categories."""
        missing = {"were not predicted": max(len(self.annotations) - len(results), 0)}
        report_scored(len(results), max(len(self.annotations), len(results)), "annotated images", missing)
        totals = {category: PanopticStatistics() for category in self.categories}
        for image in results:
            for category, statistics in image.items():
                totals[category] = totals[category] + statistics
        metrics = {}
        for suffix, kinds in (("", (True, False)), ("_th", (True,)), ("_st", (False,))):
            chosen = [total for category, total in totals.items() if self.categories[category][1] in kinds]
            for name, value in zip(("PQ", "SQ", "RQ"), average(chosen), strict=True):
                metrics[name + suffix] = 100 * value
        if self.classwise:
            logger = MMLogger.get_current_instance()
            for category, total in totals.items():
                pq, sq, rq = (100 * value for value in total.quality())
                logger.info(f"{self.categories[category][0]}: PQ {pq:.2f} SQ {sq:.2f} RQ {rq:.2f}")
        return metrics
