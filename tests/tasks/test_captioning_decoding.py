"""Captions: logits and beam search against the reference, and the best captions against an exhaustive search."""

import json
from itertools import product

import pytest
import torch

from benchmarks.suites.captioning import WholeTexts
from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.errors import UserError
from mmbeit3.tasks.captioning import CaptioningNetwork, NextCaptionWords
from mmbeit3.tasks.decoding import BeamSearchOptions, beam_search
from mmbeit3.text.tokenizer import train_text_tokenizer
from tests.goldens import golden
from tests.tasks.captions import EOS, SMALL, batch, small, spread

GOLDEN = {
    "embed_dims": 32,
    "num_layers": 3,
    "num_heads": 2,
    "ffn_dims": 128,
    "image_size": 48,
    "vocab_size": 200,
    "max_text_positions": 64,
}
MASK = 199


@pytest.fixture(scope="module")
def reference():
    return golden("beit3_tasks_a.npz")


@pytest.fixture
def loaded(reference):
    network = CaptioningNetwork(GOLDEN).eval()
    prefix = "captioning/weight/"
    report = load_checkpoint(network, {k.removeprefix(prefix): v for k, v in reference.items() if k.startswith(prefix)})
    assert report.missing == []
    return network


@torch.no_grad()
def test_logits_are_the_reference_s(reference, loaded):
    padding = reference["padding"].bool()
    logits = loaded.logits(reference["image"], reference["tokens"], padding)
    torch.testing.assert_close(logits[~padding], reference["captioning/logits"][~padding], atol=2e-4, rtol=0)


@torch.no_grad()
def test_later_words_change_nothing(reference, loaded):
    image, tokens = reference["image"], torch.randint(3, 199, (3, 9))
    logits = loaded.logits(image, tokens)
    for place in range(1, 9):
        changed = tokens.clone()
        changed[:, place:] = torch.randint(3, 199, (3, 9 - place))
        torch.testing.assert_close(loaded.logits(image, changed)[:, :place], logits[:, :place], atol=1e-6, rtol=0)
        assert not torch.allclose(loaded.logits(image, changed)[:, place], logits[:, place], atol=1e-3)


@pytest.mark.parametrize(("way", "batch"), [(NextCaptionWords, 4), (NextCaptionWords, 1), (WholeTexts, 4)])
@torch.no_grad()
def test_captions_are_the_reference_s(loaded, way, batch):
    file = golden("caption_beams_a.npz")
    bias = loaded.mlm_head.bias.clone()
    runs = json.loads(bytes(file["settings"].numpy()))["runs"]
    for number, run in enumerate(runs):
        loaded.mlm_head.bias.copy_(bias)
        loaded.mlm_head.bias[EOS] += run["eos_bias"]
        beams, length = run["num_beams"], run["max_len"]
        found = []
        for image in file["image"].split(batch):
            next_words = way(loaded, image, MASK, beams, length)
            options = BeamSearchOptions(beams, length, run["length_penalty"])
            found += beam_search(next_words, torch.zeros(batch, dtype=torch.long), options)
        # The reference keeps the mask token before </s>.
        expected = [[token for token in ids if token not in (1, MASK)] for ids in file[f"{number}/tokens"].tolist()]
        assert found == expected, run


def test_greedy_is_one_beam_and_batches_change_nothing():
    inputs = batch()
    torch.manual_seed(7)
    model = small(decoding="greedy").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    one = small(num_beams=1).eval()
    one.load_state_dict(model.state_dict())
    found = model.generate(inputs["image"])
    assert found == one.generate(inputs["image"])
    assert found == [caption for image in inputs["image"].split(1) for caption in model.generate(image)]
    assert len({tuple(ids) for ids in found}) > 1


@torch.no_grad()
def every_caption(model, image, max_length, min_length):
    """Return all texts over six words with their scores, best first; each text is encoded without a KV cache."""
    found = []
    for count in range(min_length, max_length - 2):
        texts = torch.tensor([[0, *words] for words in product([0, 1, 3, 4, 5], repeat=count)])
        total = torch.zeros(len(texts))
        for place in range(1, count + 2):
            tokens = torch.cat([texts[:, :place], torch.full((len(texts), 1), model.mask_id)], dim=1)
            log_probs = model.network.logits(image.expand(len(texts), -1, -1, -1), tokens)[:, -1].log_softmax(dim=1)
            if place <= count:
                total += log_probs.gather(1, texts[:, place : place + 1])[:, 0]
            else:
                total += log_probs.amax(dim=1) if count == max_length - 3 else log_probs[:, EOS]
        scores = total / (count + 2) ** model.length_penalty
        found += [([*text, EOS], score) for text, score in zip(texts.tolist(), scores.tolist(), strict=True)]
    return sorted(found, key=lambda pair: -pair[1])


@pytest.mark.parametrize("min_length", [0, 2])
def test_the_best_captions_are_those_of_all_there_are(min_length):
    """With 130 beams the search is exhaustive: there are 125 texts of three words out of five."""
    model = spread(small(network={"arch": {**SMALL, "vocab_size": 6}}, mask_id=5, max_length=6, num_beams=130))
    inputs = batch(2)["image"]
    predicted = model({"image": inputs}, [{}] * 2, mode="predict")
    several = model.predict({"image": inputs}, [{"image_id": 4}, {}], min_length, num_captions=7)
    assert several[0]["image_id"] == 4
    for sample, row in zip(several, range(2), strict=True):
        image = (inputs[row : row + 1] / 255 - 0.5) / 0.5
        expected = every_caption(model, image, 6, min_length)[:7]
        found = sample["pred_captions"]
        assert [each["tokens"] for each in found] == [ids for ids, _ in expected]
        assert [each["score"] for each in found] == pytest.approx([score for _, score in expected], abs=1e-4)
        assert sample["pred_tokens"] == found[0]["tokens"]
        if not min_length:
            assert predicted[row] == {"pred_tokens": found[0]["tokens"]}


def test_a_call_overrides_the_settings_of_the_model():
    model = spread(small(min_length=5, num_captions=3))
    image = batch(3)["image"]
    found = model.predict({"image": image}, [{}] * 3)
    assert [len(sample["pred_captions"]) for sample in found] == [3] * 3
    assert found == model.predict({"image": image}, [{}] * 3, min_length=5, num_captions=3)
    assert all(len(each["tokens"]) >= 7 for sample in found for each in sample["pred_captions"])
    assert [sample["pred_tokens"] for sample in found] == model.generate(image)
    assert all("pred_captions" not in sample for sample in model.predict({"image": image}, [{}] * 3, num_captions=1))
    drawn = spread(small(decoding="top_p")).generate(image, torch.Generator().manual_seed(0), min_length=9)
    assert [len(ids) for ids in drawn] == [11] * 3


def test_captions_are_texts(tmp_path):
    pytest.importorskip("sentencepiece")
    path = train_text_tokenizer(["a red circle", "a blue square above a red circle"] * 9, tmp_path / "small.spm", 20)
    model = small(tokenizer=str(path), mask_id=None).eval()
    assert model.mask_id == 21
    tokenizer = model.tokenizer
    model.generate = lambda image, **given: [[0, *tokenizer.encode("a red square"), 2], [0, 2]]
    predicted = model({"image": batch(2)["image"]}, [{"image_id": 1}, {"image_id": 2}], mode="predict")
    assert [sample["pred_caption"] for sample in predicted] == ["a red square", ""]
    with pytest.raises(UserError, match=r"mask_id is 59, but tokenizer '.*small\.spm' has mask_id 21"):
        small(tokenizer=str(path))
