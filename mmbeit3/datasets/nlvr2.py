"""NLVR2: decide if a sentence is true of two photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmbeit3.datasets.annotations import UniqueIds, check_images_exist, get_field, get_text, read_json_lines
from mmbeit3.datasets.unknown_texts import report_unknown_texts
from mmbeit3.errors import UserError
from mmbeit3.registry import DATASETS

__all__ = ["NLVR2"]

_LABELS = {"True": 1, "False": 0}


@DATASETS.register_module()
class NLVR2(BaseDataset):
    """NLVR2, read from its official files.

    There is one entry per sentence with ``img_path`` (two paths), ``text``, ``gt_label`` (1 for true, 0 for false) and
    ``identifier``. ``train.json`` gives the folder of each pair (``directory``); for ``dev.json`` and ``test1.json`` all images
    are in one folder. mmpretrain's ``NLVR2`` also expects all training images in one folder.

    Args:
        ann_file: file of JSON lines from the repository lil-lab/nlvr.
        **kwargs: arguments of MMEngine's ``BaseDataset``; ``data_prefix=dict(img_path=...)`` is the folder of the split's
            images.

    Raises:
        UserError: if the file is missing or has another format, an identifier is used twice, a sentence is empty, or an
            image does not exist.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the entries."""
        entries = []
        images = []
        ids = UniqueIds("identifier")
        for where, line in read_json_lines(self.ann_file):
            identifier = get_field(line, "identifier", str, where)
            ids.add(identifier, where)
            # In train-10171-0-1 the last number counts the sentences about one pair of images.
            pair = identifier.rpartition("-")[0]
            folder = Path(self.data_prefix["img_path"], str(line.get("directory", "")))
            paths = [str(folder / f"{pair}-img{side}.png") for side in (0, 1)]
            label = get_field(line, "label", str, where)
            if label not in _LABELS:
                raise UserError(f"{where}: label is {label!r}: write 'True' or 'False'")
            entries.append(
                {
                    "img_path": paths,
                    "text": get_text(line, "sentence", where),
                    "gt_label": _LABELS[label],
                    "identifier": identifier,
                }
            )
            images += [(path, where) for path in paths]
        if not entries:
            raise UserError(f"'{self.ann_file}' has no entries: check that it is the right file")
        check_images_exist(images)
        report_unknown_texts(self, entries)
        return entries
