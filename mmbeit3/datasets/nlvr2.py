"""NLVR2: is a sentence true of two photographs?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import Ids, check_images, read_json_lines, take, take_text
from mmbeit3.datasets.task_entries import report_entries
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["NLVR2"]

_LABELS = {"True": 1, "False": 0}


@DATASETS.register_module()
class NLVR2(BaseDataset):
    """NLVR2 from its official files; an entry for each sentence: ``img_path`` (two), ``text``, ``gt_label`` and ``identifier``.

    ``train.json`` names the folder of each pair (``directory``); ``dev.json`` and ``test1.json`` have all images in one folder.
    mmpretrain's dataset of this name looks for training images in one folder, too.

    Args:
        ann_file: JSON lines from the repository lil-lab/nlvr.
        **kwargs: those of MMEngine's ``BaseDataset``; ``data_prefix=dict(img_path=...)`` is the folder of the split's images.

    Raises:
        UserError: if the file is missing or of another format, an identifier is there twice, a sentence is empty, or an
            image does not exist.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        entries = []
        images = []
        ids = Ids("identifier")
        for where, line in read_json_lines(self.ann_file):
            identifier = take(line, "identifier", str, where)
            ids.add(identifier, where)
            # The last part of train-10171-0-1 numbers the sentences of one pair of images.
            pair = identifier.rpartition("-")[0]
            folder = Path(self.data_prefix["img_path"], str(line.get("directory", "")))
            paths = [str(folder / f"{pair}-img{side}.png") for side in (0, 1)]
            label = take(line, "label", str, where)
            if label not in _LABELS:
                raise UserError(f"{where}: label is {label!r}, not 'True' or 'False': is it the right file?")
            entries.append(
                {
                    "img_path": paths,
                    "text": take_text(line, "sentence", where),
                    "gt_label": _LABELS[label],
                    "identifier": identifier,
                }
            )
            images += [(path, where) for path in paths]
        if not entries:
            raise UserError(f"'{self.ann_file}' has no entries: is it the right file?")
        check_images(images)
        report_entries(self, entries)
        return entries
