import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mmbeit3.errors import UserError
from mmbeit3.evaluation import ImageTextRecall
from mmbeit3.evaluation.metrics import retrieval
from mmbeit3.evaluation.metrics.retrieval import best_ranks


def places_by_hand(queries, candidates, query_owners, candidate_owners):
    """Rank by sorting the candidates of each query; of equal similarities, wrong candidates come first."""
    places = []
    for query, owner in zip(queries, query_owners, strict=True):
        ranked = sorted(
            range(len(candidates)), key=lambda c: (-float(query @ candidates[c]), bool(candidate_owners[c] == owner))
        )
        right = [place for place, c in enumerate(ranked) if candidate_owners[c] == owner]
        places.append(right[0] if right else len(candidates))
    return places


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), chunk=st.integers(1, 9))
def test_equals_sorting(seed, chunk):
    generator = torch.Generator().manual_seed(seed)
    # Small whole numbers make equal similarities.
    queries = torch.randint(-1, 2, (6, 3), generator=generator).float()
    candidates = torch.randint(-1, 2, (9, 3), generator=generator).float()
    owners = torch.randint(4, (6,), generator=generator), torch.randint(4, (9,), generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_CHUNK", chunk)
        found = best_ranks(queries, candidates, *owners)
    assert found.tolist() == places_by_hand(queries, candidates, *owners)


def test_features_that_say_nothing_find_nothing():
    owners = torch.arange(5)
    for features in (torch.ones(5, 3), torch.full((5, 3), torch.nan)):
        assert (best_ranks(features, features, owners, owners) >= 4).all()


def split(images=20, texts_each=3, noise=0.0):
    features = F.normalize(torch.randn(images, 16), dim=1)
    samples = [{"image_id": f"i{i}", "image_feature": feature} for i, feature in enumerate(features)]
    for i, feature in enumerate(features):
        for t in range(texts_each):
            text = F.normalize(feature + noise * torch.randn(16), dim=0)
            samples.append({"image_id": f"i{i}", "text_id": (i, t), "text_feature": text})
    return samples


def evaluate(samples, **kwargs):
    metric = ImageTextRecall(**kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_perfect_and_chance():
    assert set(evaluate(split()).values()) == {100.0}
    noisy = evaluate(split(noise=0.7))
    assert 0 < noisy["retrieval/IR@1"] < noisy["retrieval/IR@5"] <= noisy["retrieval/IR@10"] <= 100
    values = [value for name, value in noisy.items() if "@" in name]
    assert len(values) == 6
    assert noisy["retrieval/mean"] == pytest.approx(sum(values) / 6)


def test_order_batches_and_repeats_do_not_matter():
    samples = split(noise=0.7)
    expected = evaluate(samples)
    metric = ImageTextRecall()
    order = torch.randperm(len(samples)).tolist()
    for start in range(0, len(order), 7):
        metric.process(None, [samples[i] for i in order[start : start + 7]])
    metric.process(None, samples[:2] + samples[-2:])
    assert metric.evaluate(len(samples) + 4) == pytest.approx(expected)


def test_unreadable_images_find_nothing():
    samples = split(images=4)
    samples[1]["unreadable"] = True
    result = evaluate(samples, topk=(1, 100))
    assert {name: value for name, value in result.items() if "@" in name} == dict.fromkeys(
        [f"retrieval/{way}@{k}" for way in ("TR", "IR") for k in (1, 100)], 75.0
    )
    assert result["retrieval/unreadable"] == 1


def test_a_text_whose_image_is_absent_is_not_found():
    samples = [*split(images=3, texts_each=1), {"image_id": "other", "text_id": 0, "text_feature": torch.randn(16)}]
    assert evaluate(samples, topk=(10,))["retrieval/IR@10"] == 75


def test_only_images():
    with pytest.raises(UserError, match="on 2 images and 0 texts"):
        evaluate(split(images=2, texts_each=0))


def test_says_how_many_it_scored(logged):
    samples = split(images=4)
    evaluate([*samples, samples[0], {"image_id": "gone", "text_id": "x", "text_feature": torch.ones(16)}])
    assert logged == [
        "4 of 5 images are scored: 1 repeat the image_id of another",
        "13 of 13 texts are scored: 1 have no image in the data and find nothing",
    ]
