"""Beam search against a plain Python version for one image at a time; sampling against its distribution."""

from functools import partial
from itertools import product

import pytest
import torch

from mmbeit3.tasks.decoding import BeamSearchOptions, beam_search, best_texts, sample, top_p_words

VOCAB, EOS = 14, 2


class Table:
    """Decoder with random logits that depend only on image and text; some images end early, some late."""

    def __init__(self, images, num_beams=1, seed=0):
        self.images, self.texts = list(range(images)), [[[] for _ in range(num_beams)] for _ in range(images)]
        self.seed, self.steps, self.sizes = seed, 0, []

    def scores(self, image, text):
        number = self.seed * 1009 + image
        for word in text:
            number = (number * 1_000_003 + word + 1) % (2**61)
        logits = 1.5 * torch.randn(VOCAB, generator=torch.Generator().manual_seed(number))
        logits[EOS] += image % 4 - 1
        return logits

    def step(self, words, beams=None):
        if beams is not None:
            self.texts = [[texts[beam] for beam in row] for texts, row in zip(self.texts, beams.tolist(), strict=True)]
        self.texts = [
            [[*text, word] for text, word in zip(texts, row, strict=True)]
            for texts, row in zip(self.texts, words.tolist(), strict=True)
        ]
        self.steps += 1
        self.sizes.append(len(self.images))
        pairs = zip(self.images, self.texts, strict=True)
        return torch.stack([torch.stack([self.scores(image, text) for text in texts]) for image, texts in pairs])

    def keep(self, images):
        self.images, self.texts = ([its[i] for i in images.tolist()] for its in (self.images, self.texts))


def one_by_one(scores, num_beams, max_length, penalty):
    """Search for one image and return the best text and the number of steps; ``scores(text)`` are the logits after a text."""
    beams, best = [(0.0, [0])] + [(-1e9, [0])] * (num_beams - 1), None
    for length in range(2, max_length):
        candidates = []
        for total, text in beams:
            log_probs = torch.log_softmax(scores(text), dim=0) + total
            candidates += [(float(value), text, word) for word, value in enumerate(log_probs)]
        candidates = sorted(candidates, key=lambda candidate: -candidate[0])[: 3 * num_beams]
        if best is not None and best[0] >= candidates[0][0] / (max_length - 1) ** penalty:
            break
        beams = []
        for total, text, word in candidates:
            if word == EOS or length + 1 == max_length:
                score = total / length**penalty
                if best is None or score > best[0]:
                    best = score, text
            else:
                beams.append((total, [*text, word]))
                if len(beams) == num_beams:
                    break
    return [*best[1], EOS], length - 1


def greedily(scores, max_length):
    text = [0]
    while len(text) < max_length - 2 and (word := int(scores(text).argmax())) != EOS:
        text.append(word)
    return [*text, EOS]


class Small(Table):
    """Decoder with a vocabulary of four words and ``</s>``."""

    def scores(self, image, text):
        return super().scores(image, text)[:5]


def all_texts(scores, max_length, penalty, min_length):
    """Return every text with its score, best first, in plain Python."""
    found = []
    for count in range(min_length, max_length - 2):
        for words in product([0, 1, 3, 4], repeat=count):
            text = [0, *words]
            log_probs = [torch.log_softmax(scores(text[: place + 1]), dim=0) for place in range(count + 1)]
            total = sum(float(log_probs[place][word]) for place, word in enumerate(words))
            # The longest texts end with the most likely next word.
            total += float(log_probs[-1].max() if count == max_length - 3 else log_probs[-1][EOS])
            found.append(([*text, EOS], total / (count + 2) ** penalty))
    return sorted(found, key=lambda pair: -pair[1])


def starts(images):
    return torch.zeros(images, dtype=torch.long)


@pytest.mark.parametrize("penalty", [-0.5, 0.0, 0.6, 1.5])
@pytest.mark.parametrize("max_length", [4, 5, 9, 15])
@pytest.mark.parametrize("num_beams", [1, 2, 3, 4])
def test_beam_search_is_that_of_single_images(num_beams, max_length, penalty):
    lengths = set()
    for seed in range(6):
        table = Table(6, num_beams, seed)
        found = beam_search(table, starts(6), BeamSearchOptions(num_beams, max_length, penalty))
        scores = [partial(table.scores, image) for image in range(6)]
        expected, steps = zip(*(one_by_one(its, num_beams, max_length, penalty) for its in scores), strict=True)
        assert found == list(expected)
        assert table.steps == max(steps)
        lengths |= {len(ids) for ids in found}
    assert len(lengths) > 1


def test_images_that_are_done_leave():
    table = Table(8, 3)
    together = beam_search(table, starts(8), BeamSearchOptions(3, 30, length_penalty=0.0))
    assert table.sizes[0] == 8
    assert table.sizes[-1] <= 4
    assert table.steps < 28
    assert all(len(ids) < 29 for ids in together)


@pytest.mark.parametrize("max_length", [4, 6, 20])
def test_one_beam_without_penalty_is_greedy(max_length):
    table = Table(7)
    expected = [greedily(partial(table.scores, image), max_length) for image in range(7)]
    assert beam_search(table, starts(7), BeamSearchOptions(1, max_length, length_penalty=0.0)) == expected
    assert sample(Table(7), starts(7), max_length, top_p=1e-6) == expected


def test_top_p_draws_in_proportion():
    logits = torch.tensor([0.1, 2.0, -1.0, 1.5, 0.5, -3.0])
    generator = torch.Generator().manual_seed(3)
    for top_p, temperature, kept in [
        (0.8, 1.0, [1, 3, 4]),
        (0.8, 0.5, [1, 3]),
        (1.0, 2.0, [0, 1, 2, 3, 4, 5]),
        (0.2, 1.0, [1]),
    ]:
        drawn = top_p_words(logits.expand(20_000, -1), top_p, temperature, generator)
        probs = (logits / temperature).softmax(dim=0)
        # The set reaches top_p with its last word, but not without it.
        assert probs[kept].sum() >= top_p - 1e-6
        assert probs[kept].sum() - probs[kept].min() < top_p
        expected = torch.zeros(6)
        expected[kept] = probs[kept] / probs[kept].sum()
        often = drawn.bincount(minlength=6) / 20_000
        assert set(drawn.unique().tolist()) <= set(kept)
        torch.testing.assert_close(often, expected, atol=0.015, rtol=0)


def test_samples_are_texts():
    first, second = (sample(Table(40), starts(40), 12, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert first == second
    assert first != sample(Table(40), starts(40), 12, generator=torch.Generator().manual_seed(6))
    for ids in first:
        assert ids[0] == 0
        assert ids.index(EOS) == len(ids) - 1 <= 10
    assert len({len(ids) for ids in first}) > 4


def test_samples_follow_their_own_text():
    """Each image is sampled after its own text, also after other images have been dropped."""

    class Counting(Table):
        def scores(self, image, text):
            logits = torch.full((VOCAB,), -100.0)
            logits[EOS if len(text) > image else 3 + len(text)] = 0
            return logits

    assert sample(Counting(6), starts(6), 30) == [[0, *range(4, 4 + image), EOS] for image in range(6)]


@pytest.mark.parametrize("min_length", [0, 1, 2, 3])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.5])
def test_with_beams_enough_the_best_of_all_texts_are_found(penalty, min_length):
    for count in (1, 3, 20):
        found = best_texts(Small(4, 70), starts(4), count, BeamSearchOptions(70, 6, penalty, min_length, EOS))
        for image, texts in enumerate(found):
            expected = all_texts(partial(Small(1).scores, image), 6, penalty, min_length)[:count]
            assert [text.ids for text in texts] == [ids for ids, _ in expected]
            assert [text.score for text in texts] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.parametrize("num_texts", [2, 3])
def test_several_texts_of_few_beams(num_texts):
    """All texts are found, different and sorted, and each has the score of its words."""
    found = best_texts(Table(8, 3), starts(8), num_texts, BeamSearchOptions(3, 9))
    assert sum(len(text.ids) < 8 for texts in found for text in texts) > 4
    for image, texts in enumerate(found):
        assert len({tuple(text.ids) for text in texts}) == num_texts
        assert [text.score for text in texts] == sorted((text.score for text in texts), reverse=True)
        for text in texts:
            logs = [torch.log_softmax(Table(1).scores(image, text.ids[:n]), dim=0) for n in range(1, len(text.ids))]
            last = float(logs[-1].max()) if len(text.ids) == 8 else float(logs[-1][EOS])
            total = last + sum(float(each[word]) for each, word in zip(logs, text.ids[1:-1], strict=False))
            assert text.score == pytest.approx(total / len(text.ids) ** 0.6, abs=1e-5)


def test_fewer_texts_where_there_are_no_more():
    """Four words and texts of up to one word give five texts."""
    (found,) = best_texts(Small(1, 7), starts(1), 7, BeamSearchOptions(7, 4))
    assert [text.ids for text in found] == [ids for ids, _ in all_texts(partial(Small(1).scores, 0), 4, 0.6, 0)]
    assert len(found) == 5


@pytest.mark.parametrize("num_beams", [1, 3])
def test_no_text_is_shorter_than_asked(num_beams):
    free = beam_search(Table(12, num_beams), starts(12), BeamSearchOptions(num_beams, 12))
    assert min(map(len, free)) < 6
    for least in (4, 7, 9):
        found = beam_search(Table(12, num_beams), starts(12), BeamSearchOptions(num_beams, 12, min_length=least))
        assert min(len(ids) - 2 for ids in found) >= least
        drawn = sample(Table(12), starts(12), 12, 1.0, min_length=least, generator=torch.Generator().manual_seed(0))
        assert min(len(ids) - 2 for ids in drawn) >= least
        assert all(EOS not in ids[:-1] for ids in found + drawn)


@pytest.mark.parametrize("decode", [BeamSearchOptions, partial(sample, Table(1), starts(1))])
def test_texts_that_would_be_too_long(decode):
    with pytest.raises(ValueError, match="min_length must be from 0 to 5 with a max_length of 8, got 6"):
        decode(max_length=8, min_length=6)


def test_more_texts_than_beams():
    with pytest.raises(ValueError, match="beam search with 3 beams finds 1 to 3 texts, not 4"):
        best_texts(Table(1, 3), starts(1), 4)


@pytest.mark.parametrize(
    ("changes", "reason"), [({"num_beams": 0}, "num_beams of at least 1"), ({"max_length": 3}, "at least 4")]
)
def test_bad_beams(changes, reason):
    with pytest.raises(ValueError, match=reason):
        BeamSearchOptions(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"max_length": 3}, "at least 4"),
        ({"top_p": 0.0}, "above 0"),
        ({"top_p": 1.1}, "at most 1"),
        ({"temperature": 0}, "above 0"),
    ],
)
def test_bad_sampling(changes, reason):
    with pytest.raises(ValueError, match=reason):
        sample(Table(1), starts(1), **changes)
