"""Retrieval: features of the reference, and the assignment of features to samples in all kinds of batches."""

import pytest
import torch

from mmbeit3.checkpoint import LAYOUTS, load_checkpoint
from mmbeit3.models.beit3 import DualEncoder
from mmbeit3.tasks.retrieval import BEiT3Retrieval
from tests.tasks.reference import SMALL, TOLERANCE, inputs, official_file, reference


@pytest.fixture
def model():
    return BEiT3Retrieval({"arch": SMALL}).eval()


def test_reference_model(tmp_path):
    expected = reference("retrieval")
    path = official_file(expected["weights"], tmp_path)
    # The images of the goldens are already normalised.
    model = BEiT3Retrieval({"arch": expected["arch"]}, mean=(0, 0, 0), std=(1 / 255,) * 3).eval()
    report = load_checkpoint(model.network, path)
    assert report.layout == "official"
    assert report.missing == report.unused == []
    batch = {"image": expected["image"], "tokens": expected["tokens"], "padding_mask": expected["padding"]}
    with torch.no_grad():
        found, losses = model(batch), model(batch, [{}] * 3, mode="loss")
    torch.testing.assert_close(found["image_feature"], expected["retrieval/vision"], **TOLERANCE)
    torch.testing.assert_close(found["text_feature"], expected["retrieval/text"], **TOLERANCE)
    torch.testing.assert_close(losses["loss_itc"], expected["retrieval/loss"], **TOLERANCE)
    written = LAYOUTS["official"].to_theirs(model.network.state_dict())
    assert written.keys() == expected["weights"].keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected["weights"].items())


@pytest.mark.parametrize(("arch", "millions"), [("base", 222.46), ("large", 675.19)])
def test_parameter_counts(arch, millions):
    with torch.device("meta"):
        total = sum(p.numel() for p in DualEncoder(arch, image_size=384).parameters())
    assert round(total / 1e6, 2) == millions


@torch.no_grad()
def test_every_other_text_counts_as_wrong(model):
    batch = inputs(4)
    batch["image"][1] = batch["image"][0]
    found = model(batch, [{"image_id": i} for i in (0, 0, 1, 2)], mode="loss")
    features = model(batch)
    logits = features["image_feature"] @ features["text_feature"].t() / 0.07
    chances = logits.softmax(dim=1), logits.t().softmax(dim=1)
    expected = -sum(direction.diag().log().mean() for direction in chances) / 2
    torch.testing.assert_close(found["loss_itc"], expected, atol=1e-4, rtol=1e-4)
    assert found["temperature"].item() == pytest.approx(0.07)
    right = (logits.argmax(dim=1) == torch.arange(4)).float().mean()
    assert found["image_to_text.accuracy"] == right


def test_pairs_images_texts_and_both_mixed(model):
    batch = inputs(4)
    with torch.no_grad():
        images = model.network.encode_image(model.normalize(batch["image"]))
        texts = model.network.encode_text(batch["tokens"], batch["padding_mask"])
    image_ids, text_ids = [{"image_id": i} for i in range(4)], [{"image_id": i, "text_id": 10 + i} for i in range(4)]

    def check(inputs, samples):
        predicted = model(inputs, samples, mode="predict")
        for old, new in zip(samples, predicted, strict=True):
            extra = set(new) - set(old)
            assert {key: new[key] for key in old} == old
            for name, features in (("image_feature", images), ("text_feature", texts)):
                if name in extra:
                    torch.testing.assert_close(new[name], features[old["image_id"]], atol=1e-5, rtol=0)
        return [sorted(set(new) - set(old)) for old, new in zip(samples, predicted, strict=True)]

    only_texts = {key: batch[key] for key in ("tokens", "padding_mask")}
    assert check(batch, text_ids) == [["image_feature", "text_feature"]] * 4
    assert check({"image": batch["image"]}, image_ids) == [["image_feature"]] * 4
    assert check(only_texts, text_ids) == [["text_feature"]] * 4
    mixed = {"image": batch["image"][:3], **{key: value[1:3] for key, value in only_texts.items()}}
    samples = [image_ids[0], text_ids[1], image_ids[1], text_ids[2], image_ids[2]]
    found = check(mixed, samples)
    assert found == [["image_feature"], ["text_feature"], ["image_feature"], ["text_feature"], ["image_feature"]]
    with pytest.raises(ValueError, match="3 rows of image_feature for 2 of 4 samples"):
        check(mixed, [image_ids[0], text_ids[0], image_ids[1], text_ids[1]])


def test_what_a_batch_must_have(model):
    with pytest.raises(ValueError, match="needs 'image', 'tokens' or both, got nothing"):
        model({}, [], mode="predict")
    with pytest.raises(ValueError, match="trained on image-text pairs, got only image_feature"):
        model({"image": inputs(2)["image"]}, [{}] * 2, mode="loss")
