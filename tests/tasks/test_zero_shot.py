"""Zero-shot classification: predictions by cosine, the loss against a plain computation, and the feature cache."""

import math

import pytest
import torch

from mmbeit3.errors import UserError
from mmbeit3.tasks.zero_shot import BEiT3ZeroShotClassification
from mmbeit3.text import TextTokenizer, train_text_tokenizer
from tests.tasks.reference import SMALL, inputs

pytest.importorskip("sentencepiece")

NAMES = ["red dog", "green cat", "blue bird", "a long green dog", "cat"]
BATCH = inputs(4, ("image",))
SAMPLES = [{"gt_label": torch.tensor([i])} for i in (0, 3, 3, 4)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    texts = [*NAMES, "a photo of one"]
    return train_text_tokenizer(texts, tmp_path_factory.mktemp("names") / "names.spm", 23)


@pytest.fixture
def build(tokenizer):
    def make(**kwargs):
        torch.manual_seed(3)
        model = BEiT3ZeroShotClassification({"arch": SMALL}, **{"class_names": NAMES, "tokenizer": tokenizer, **kwargs})
        # The outputs of freshly initialised towers hardly depend on their input.
        for head in (model.network.vision_head, model.network.language_head):
            torch.nn.init.normal_(head.weight, std=0.2)
        torch.nn.init.normal_(model.network.language.embed.words.weight)
        return model.eval()

    return make


def features_one_by_one(model, tokenizer, templates=("{}",)):
    """Return unit vectors (classes, C); each text is encoded alone, without padding."""
    encoder, rows = TextTokenizer(tokenizer), []
    for name in NAMES:
        texts = [model.network.encode_text(*encoder.batch([t.format(name)], 14)).squeeze(0) for t in templates]
        mean = torch.stack(texts).mean(dim=0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


@torch.no_grad()
@pytest.mark.parametrize("templates", [("{}",), ("a photo of a {}", "one {}", "{}")])
def test_the_closest_name_is_predicted(build, tokenizer, templates, monkeypatch):
    model = build(templates=templates)
    monkeypatch.setattr("mmbeit3.tasks.zero_shot._CHUNK", 2)
    texts = features_one_by_one(model, tokenizer, templates)
    images = model.network.encode_image(model.normalize(BATCH["image"]))
    cosines = images @ texts.t()
    torch.testing.assert_close(model(BATCH), cosines / 0.07, atol=1e-4, rtol=1e-4)
    for i, sample in enumerate(model(BATCH, SAMPLES, mode="predict")):
        assert sample["gt_label"] is SAMPLES[i]["gt_label"]
        assert sample["pred_label"].tolist() == [int(cosines[i].argmax())]
        torch.testing.assert_close(sample["pred_score"], (cosines[i] / 0.07).softmax(dim=0), atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_over_all_classes(build, smoothing):
    model = build(label_smoothing=smoothing)
    found, chances = model(BATCH, SAMPLES, mode="loss"), model(BATCH).softmax(dim=1)
    total = 0.0
    for row, label in zip(chances.tolist(), (0, 3, 3, 4), strict=True):
        for index, chance in enumerate(row):
            target = (1 - smoothing) * (index == label) + smoothing / len(NAMES)
            total -= target * math.log(chance)
    assert found["loss_cls"].item() == pytest.approx(total / 4, rel=1e-4)
    assert found["temperature"].item() == pytest.approx(0.07)
    right = (chances.argmax(dim=1) == torch.tensor([0, 3, 3, 4])).float().mean()
    assert found["accuracy"] == right


@torch.no_grad()
def test_fewer_candidates_hold_the_batchs_classes(build):
    model = build(candidates=4, label_smoothing=0.0)
    labels, drawn = torch.tensor([0, 3, 3, 4]), set()
    for _ in range(30):
        classes, targets = model._draw_candidates(labels)
        assert classes.tolist() == sorted(set(classes.tolist()))
        assert len(classes) == 4
        assert torch.equal(classes[targets], labels)
        drawn |= set(classes.tolist())
    assert drawn == {0, 1, 2, 3, 4}
    model.candidates = 1  # fewer than the batch itself has
    classes, targets = model._draw_candidates(labels)
    assert classes.tolist() == [0, 3, 4]
    logits = model(BATCH)[:, classes]
    expected = torch.nn.functional.cross_entropy(logits, targets)
    torch.testing.assert_close(model(BATCH, SAMPLES, mode="loss")["loss_cls"], expected, atol=1e-4, rtol=1e-4)


def test_names_are_encoded_once_until_weights_change(build, monkeypatch):
    model = build()
    calls = []
    encode = model.network.encode_text
    monkeypatch.setattr(model.network, "encode_text", lambda *args: calls.append(1) or encode(*args))

    def predicted():
        return torch.stack([sample["pred_score"] for sample in model(BATCH, SAMPLES, mode="predict")])

    first = predicted()
    assert torch.equal(predicted(), first)
    assert len(calls) == 1
    with torch.no_grad():
        model.network.language_head.weight.neg_()
    changed = predicted()
    assert len(calls) == 2
    assert not torch.allclose(changed, first)
    # MMEngine's EMA assigns averaged weights like this before evaluation.
    model.network.language_head.weight.data.neg_()
    model.eval()
    torch.testing.assert_close(predicted(), first)
    other = build()
    torch.nn.init.normal_(other.network.vision_head.weight)
    torch.nn.init.normal_(other.network.language_head.weight)
    model.load_state_dict(other.state_dict())
    assert not torch.allclose(predicted(), first)


def test_names_stay_out_of_checkpoints(build):
    assert all(name.startswith("network.") for name in build().state_dict())


def test_arguments_are_checked(build, tmp_path, tokenizer):
    with pytest.raises(UserError, match=r"template 'a photo' has no \{\}"):
        build(templates=["{}", "a photo"])
    for templates, reason in (
        (["{} and {}"], "has other fields than one {}"),
        (["a {name}"], "has other fields than one {}"),
        (["a {0}"], "has other fields than one {}"),
        (["a {:>9}"], "has other fields than one {}"),
        (["a {"], "cannot be parsed"),
        (["a }"], "cannot be parsed"),
        ("a {}", "templates is a string, 'a {}', but must be a list of strings: write ['a {}']"),
        ([], "templates is an empty list"),
        ([3], "template 3 is not a string"),
    ):
        with pytest.raises(UserError) as error:
            build(templates=templates)
        assert reason in str(error.value)
    assert build(templates=("{{a}} {}",)).templates == ("{{a}} {}",)
    with pytest.raises(UserError, match="max_length is 15, but the network has 14 text positions"):
        build(max_length=15)
    with pytest.raises(UserError, match="has 25 ids, but the network has only 24 rows"):
        BEiT3ZeroShotClassification({"arch": {**SMALL, "vocab_size": 24}}, NAMES, tokenizer)
    with pytest.raises(UserError, match=r"class_names .* cannot be read"):
        build(class_names=tmp_path / "absent.txt")
    with pytest.raises(UserError, match="gt_label 5 is outside of the model's classes 0 to 4"):
        build()(BATCH, [{"gt_label": torch.tensor([5])}] * 4, mode="loss")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    assert build(class_names=tmp_path / "names.txt").class_names == tuple(NAMES)
