"""Runners replace OpenMMLab's loading transforms, also inside wrappers."""

import pytest

from mmbeit3.runner.loading import use_checked_loading


@pytest.mark.parametrize("scope", ["mmengine", "mmdet", "mmseg", "mmpretrain"])
@pytest.mark.parametrize("name", ["LoadImageFromFile", "mmcv.LoadImageFromFile", "mmpretrain.LoadImageFromFile"])
def test_images_are_loaded_by_ours(scope, name):
    for package in (scope, name.partition(".")[0]):
        if package in ("mmdet", "mmseg", "mmpretrain"):
            pytest.importorskip(package)
    step = {"type": name, "to_float32": True}
    pair = {"type": "mmpretrain.ApplyToList", "scatter_key": "img_path", "transforms": [step]}
    plain = {"type": "mmbeit3.NLVR2", "pipeline": [dict(step), pair]}
    loader = {"dataset": {"type": "ConcatDataset", "datasets": [plain, {"type": "RepeatDataset", "dataset": plain}]}}
    careful = use_checked_loading(loader, {"default_scope": scope})["dataset"]["datasets"]
    ours = {"type": "mmbeit3.LoadImageOrFail", "to_float32": True}
    for dataset in (careful[0], careful[1]["dataset"]):
        assert dataset["pipeline"] == [ours, {**pair, "transforms": [ours]}]
    assert plain["pipeline"][0] == step, "the config stays as it is"
