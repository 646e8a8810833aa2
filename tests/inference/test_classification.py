"""The classification inferencer: class names of fixed classes and of zero-shot models."""

from copy import deepcopy

import pytest
import torch

from mmbeit3.errors import UserError
from mmbeit3.inference import ClassificationInferencer
from tests.inference.made import config, expected
from tests.inference.tasks import NAMES, batch


def test_class_names_of_fixed_classes(build, trained, images, tmp_path):
    unnamed = build("classification")(images[0])["predictions"][0]
    assert unnamed["pred_class"] is None
    assert set(unnamed["top"][0]) == {"label", "score"}
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    named = build("classification", class_names=tmp_path / "names.txt")(images[0])["predictions"][0]
    assert named["pred_class"] == NAMES[unnamed["pred_label"]]
    cfg, path = trained("classification")
    cfg = deepcopy(cfg)
    cfg.test_dataloader.dataset.metainfo = {"classes": NAMES}
    with pytest.raises(UserError, match=r"in another order: name 0 is '.*', but class 0 of the model is '"):
        ClassificationInferencer(cfg, path, "cpu", NAMES[::-1], show_progress=False)
    with pytest.raises(UserError, match="there are 2 class names, but the model has 3 classes: give one name per class"):
        build("classification", class_names=NAMES[:2])
    with pytest.raises(UserError, match="templates are for models that read class names, but BEiT3Classification has"):
        build("classification", templates=["{}"])
    assert ClassificationInferencer(cfg, path, "cpu", show_progress=False)(images[0])["predictions"][0] == named


def test_any_class_names_with_a_model_of_retrieval(trained, images):
    cfg, path = trained("retrieval")
    before = cfg.to_dict()
    with pytest.raises(UserError, match="a retrieval model has no classes: give class_names"):
        ClassificationInferencer(cfg, path, "cpu")
    free = ["blue", "a red fox", "box", "circles"]
    inferencer = ClassificationInferencer(cfg, path, "cpu", free, ["the {}", "{}"], show_progress=False)
    assert cfg.to_dict() == before
    model = {**cfg.model, "type": "mmbeit3.BEiT3ZeroShotClassification", "class_names": free, "templates": ["the {}", "{}"]}
    model["tokenizer"] = cfg.test_dataloader.dataset.pipeline[2].tokenizer
    wanted = expected(config(model, None, None), path, batch(inferencer, "named", images))
    for one, sample in zip(inferencer(images)["predictions"], wanted, strict=True):
        assert one["pred_class"] == free[int(sample["pred_label"])]
        scores = torch.tensor([each["score"] for each in sorted(one["top"], key=lambda each: each["label"])])
        torch.testing.assert_close(scores, sample["pred_score"], atol=1e-5, rtol=0)
    named, weights = trained("named")
    assert ClassificationInferencer(named, weights, "cpu", free).class_names == tuple(free)
