"""Panoptic quality of mmdet's panoptic models on COCO-format ground truth; ``panopticapi`` is not needed, as PyPI lacks it."""

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
from mmbeit3.evaluation.metrics.panoptic_quality import VOID, PanopticStatistics, Segment, match_segments, mean_quality
from mmbeit3.evaluation.metrics.reporting import report_scored
from mmbeit3.registry import METRICS

__all__ = ["CocoPanopticQualityMetric"]


@METRICS.register_module()
class CocoPanopticQualityMetric(BaseMetric):
    """PQ, SQ and RQ (in percent) over all classes, things (``_th``) and stuff (``_st``), by COCO's rules.

    Args:
        ann_file: COCO panoptic annotations.
        seg_prefix: folder of the PNGs whose colours encode segment ids as R + 256 G + 65536 B.
        classwise: also log the scores of every class.
        collect_device: see MMEngine's ``BaseMetric``.
        prefix: prefix of the names of the scores; default ``coco_panoptic``.

    Raises:
        UserError: if a file is missing, or ``ann_file`` is not a valid file of COCO panoptic annotations.
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
            raise UserError(f"'{ann_file}' contains no COCO panoptic annotations ({type(error).__name__}: {error})") from error
        if counts != (len(self.annotations), len(self.categories)):
            raise UserError(f"'{ann_file}' has an image_id or a category id twice: make them unique")
        self.ann_file = ann_file
        self.seg_prefix = Path(seg_prefix)
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Compare the predictions of a batch, ``pred_panoptic_seg.sem_seg`` (1, H, W), with the ground truth.

        Raises:
            UserError: if an image is missing in the ground truth, or prediction and ground truth do not match in size or
                classes.
        """
        for sample in data_samples:
            if sample["img_id"] not in self.annotations:
                raise UserError(f"image {sample['img_id']} is not in the panoptic ground truth '{self.ann_file}'")
            entry = self.annotations[sample["img_id"]]
            truth = read_segment_ids(self.seg_prefix / entry["file_name"])
            segments = {s["id"]: Segment(s["category_id"], bool(s.get("iscrowd"))) for s in entry["segments_info"]}
            predicted, found = self._predicted(sample["pred_panoptic_seg"])
            try:
                self.results.append(match_segments(truth, segments, predicted, found))
            except ValueError as error:
                raise UserError(f"panoptic evaluation of image {sample['img_id']} ('{entry['file_name']}'): {error}") from error

    def _predicted(self, panoptic: dict[str, Any]) -> tuple[np.ndarray, dict[int, Segment]]:
        """Return segment ids (H, W) from 1, and the segments by id.

        mmdet encodes a segment as class + instance * INSTANCE_OFFSET and uses one more class for void.
        """
        from mmdet.evaluation.functional import INSTANCE_OFFSET

        # mmdet leaves predictions on the GPU.
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
                    raise UserError(f"the model predicts class {label}, but the dataset has {len(classes)} classes")
                ids[coded == code] = number
                segments[number] = Segment(names[classes[label]])
        return ids, segments

    def compute_metrics(self, results: list[dict[int, PanopticStatistics]]) -> dict[str, float]:
        """Sum the statistics over images and average the qualities over categories."""
        missing = {"were not predicted": max(len(self.annotations) - len(results), 0)}
        report_scored(len(results), max(len(self.annotations), len(results)), "annotated images", missing)
        totals = {category: PanopticStatistics() for category in self.categories}
        for image in results:
            for category, statistics in image.items():
                totals[category] = totals[category] + statistics
        metrics = {}
        for suffix, kinds in (("", (True, False)), ("_th", (True,)), ("_st", (False,))):
            chosen = [total for category, total in totals.items() if self.categories[category][1] in kinds]
            for name, value in zip(("PQ", "SQ", "RQ"), mean_quality(chosen), strict=True):
                metrics[name + suffix] = 100 * value
        if self.classwise:
            logger = MMLogger.get_current_instance()
            for category, total in totals.items():
                pq, sq, rq = (100 * value for value in total.quality())
                logger.info(f"{self.categories[category][0]}: PQ {pq:.2f} SQ {sq:.2f} RQ {rq:.2f}")
        return metrics
