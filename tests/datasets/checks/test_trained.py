"""Classes of a checkpoint and of a config."""

import pytest
import torch

from mmbeit3.datasets.checks.trained import check_trained_classes
from mmbeit3.errors import UserError


def config(classes, **more):
    dataset = {"type": "CocoDataset", "metainfo": {"classes": classes}}
    return {"default_scope": "mmdet", "test_dataloader": {"dataset": {"type": "RepeatDataset", "dataset": dataset}}, **more}


def test_classes_of_a_checkpoint(tmp_path):
    path = tmp_path / "epoch_1.pth"
    weights = {"state_dict": {"weight": torch.ones(1)}}
    torch.save({**weights, "meta": {"dataset_meta": {"classes": ("cat", "dog")}}}, path)
    check_trained_classes(config(("cat", "dog")), path)
    check_trained_classes({}, path)
    with pytest.raises(
        UserError, match=r"class 0 is 'cat' in the checkpoint and 'dog' in the config: .*allow=\['other_classes'\]"
    ):
        check_trained_classes(config(("dog", "cat")), path)
    with pytest.raises(UserError, match="class 2 is missing in the checkpoint and 'cow' in the config"):
        check_trained_classes(config(("cat", "dog", "cow")), path)
    check_trained_classes(config(("dog", "cat"), data_checks={"allow": "other_classes"}), path)
    for meta in ({}, {"dataset_meta": {}}, {"dataset_meta": None}, {"dataset_meta": {"classes": [1, 2]}}):
        torch.save({**weights, "meta": meta}, path)
        check_trained_classes(config(("dog", "cat")), path)
