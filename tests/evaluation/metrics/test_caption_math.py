import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.evaluation.metrics.caption_math import bleu, cider_d

WORDS = ["a", "red", "box", "on", "the", "mat"]
CAPTION = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9)
IMAGES = st.lists(st.tuples(CAPTION, st.lists(CAPTION, min_size=1, max_size=4)), min_size=1, max_size=4)


def grams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def bleu_by_the_paper(images, n):
    total = length = wanted = 0
    logs = []
    for order in range(1, n + 1):
        hit = total = 0
        for candidate, people in images:
            for gram in set(grams(candidate, order)):
                most = max(grams(one, order).count(gram) for one in people)
                hit += min(grams(candidate, order).count(gram), most)
            total += len(grams(candidate, order))
        if not hit:
            return 0.0
        logs.append(math.log(hit / total))
    for candidate, people in images:
        length += len(candidate)
        wanted += sorted((abs(len(one) - len(candidate)), len(one)) for one in people)[0][1]
    return math.exp(min(0, 1 - wanted / length)) * math.exp(sum(logs) / n)


@settings(max_examples=60, deadline=None)
@given(IMAGES)
def test_bleu_equals_its_formula(images):
    found = bleu([c for c, _ in images], [p for _, p in images])
    assert found == pytest.approx([bleu_by_the_paper(images, n) for n in (1, 2, 3, 4)])


def cider_d_with_vectors(images):
    """Compute CIDEr-D by TF-IDF vectors over all n-grams, as arrays."""
    scores = np.zeros(len(images))
    for n in (1, 2, 3, 4):
        everything = sorted({g for c, people in images for one in [c, *people] for g in grams(one, n)})
        if not everything:
            continue
        frequency = np.array([sum(any(g in grams(one, n) for one in people) for _, people in images) for g in everything])
        rarity = np.log(len(images) / np.maximum(1, frequency))

        def vector(tokens, n=n, everything=everything, rarity=rarity):
            counts = Counter(grams(tokens, n))
            return np.array([counts[g] for g in everything]) * rarity

        for i, (candidate, people) in enumerate(images):
            mine = vector(candidate)
            for one in people:
                theirs = vector(one)
                norms = np.linalg.norm(mine) * np.linalg.norm(theirs)
                if norms > 0:
                    penalty = np.exp(-((len(candidate) - len(one)) ** 2) / 72)
                    scores[i] += 10 * penalty * (np.minimum(mine, theirs) * theirs).sum() / norms / 4 / len(people)
    return scores


@settings(max_examples=60, deadline=None)
@given(IMAGES)
def test_cider_d_equals_its_formula(images):
    found = cider_d([c for c, _ in images], [p for _, p in images])
    assert found == pytest.approx(cider_d_with_vectors(images))


def test_extremes():
    references = [[["a", "red", "box", "on", "it"]], [["the", "blue", "mat", "lies", "there"]]]
    same = [people[0] for people in references]
    assert bleu(same, references) == pytest.approx([1] * 4)
    assert cider_d(same, references) == pytest.approx([10, 10])
    nothing = [[], []]
    assert bleu(nothing, references) == [0] * 4
    assert cider_d(nothing, references) == [0, 0]
    assert cider_d(same[::-1], references) == [0, 0]


def test_equals_pycocoevalcap():
    """The words need no tokenizer, so Java is not needed."""
    scorers = pytest.importorskip("pycocoevalcap.bleu.bleu"), pytest.importorskip("pycocoevalcap.cider.cider")
    rng = np.random.default_rng(0)
    images = {i: [" ".join(rng.choice(WORDS, rng.integers(3, 10))) for _ in range(4)] for i in range(60)}
    mine = {i: captions[:1] for i, captions in images.items()}
    people = {i: captions[1:] for i, captions in images.items()}
    ours = [caption.split() for (caption,) in mine.values()], [[c.split() for c in ones] for ones in people.values()]
    expected, _ = scorers[0].Bleu(4).compute_score(people, mine, verbose=0)
    assert bleu(*ours) == pytest.approx(expected, rel=1e-6)
    _, each = scorers[1].Cider().compute_score(people, mine)
    assert cider_d(*ours) == pytest.approx(each.tolist())
