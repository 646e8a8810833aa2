"""Masks of patches and words: their number, their positions, and the replacement of words."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.pretrain import masking
from mmbeit3.pretrain.masking import mask_blocks, mask_tokens


@settings(max_examples=60, deadline=None)
@given(h=st.integers(1, 20), w=st.integers(1, 20), share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_blocks_are_exactly_as_many_as_wanted(h, w, share, seed):
    count = round(share * h * w)
    generator = torch.Generator().manual_seed(seed)
    mask = mask_blocks((h, w), count, generator=generator)
    assert mask.shape == (h, w)
    assert int(mask.sum()) == count
    assert torch.equal(mask, mask_blocks((h, w), count, generator=torch.Generator().manual_seed(seed)))


def test_masked_patches_stand_together():
    def neighbours(mask):
        return (mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum()

    blocks = [mask_blocks((14, 14), 78, generator=torch.Generator().manual_seed(seed)) for seed in range(20)]
    scattered = torch.zeros(14 * 14, dtype=torch.bool)
    scattered[torch.randperm(14 * 14)[:78]] = True
    assert min(int(neighbours(mask)) for mask in blocks) > 1.3 * int(neighbours(scattered.view(14, 14)))
    # Every patch is masked in some draws.
    assert torch.stack([mask_blocks((14, 14), 78) for _ in range(200)]).any(dim=0).all()


def test_blocks_are_as_defined(monkeypatch):
    """10,000 draws: 40% of the patches, a symmetric distribution, and first blocks distributed as in BEiT's algorithm."""
    first: list[tuple[int, int]] = []
    real = masking._add_block

    def watched(mask, *args):
        empty = not mask.any()
        added = real(mask, *args)
        if empty:
            first.append((int(mask.any(dim=1).sum()), int(mask.any(dim=0).sum())))
        return added

    monkeypatch.setattr(masking, "_add_block", watched)
    draws, side, count, least = 10_000, 14, 78, 16
    generator = torch.Generator().manual_seed(0)
    often = sum(mask_blocks((side, side), count, least, generator=generator).int() for _ in range(draws)) / draws
    assert float(often.mean()) == pytest.approx(count / side**2, abs=1e-6)
    # More of the possible blocks cover the middle than the corners, and the distribution is symmetric.
    torch.testing.assert_close(often, often.flip(0), atol=0.04, rtol=0)
    torch.testing.assert_close(often, often.T, atol=0.04, rtol=0)
    assert 0.03 < float(often.min()) < 0.1 < 0.5 < float(often.max()) < 0.8

    # An independent implementation: uniform area, log-uniform aspect ratio; blocks that do not fit are drawn again.
    rng = np.random.default_rng(1)
    expected = []
    while len(expected) < draws:
        area, ratio = rng.uniform(least, count), np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
        rows, columns = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if rows < side and columns < side and rows * columns <= count:
            expected.append((rows, columns))
    assert len(first) == draws
    for measure in (lambda rows, columns: rows * columns, lambda rows, columns: rows / columns):
        found, wanted = (np.sort([measure(*block) for block in blocks]) for blocks in (first, expected))
        # Kolmogorov-Smirnov distance; samples of the same distribution exceed 0.028 with a probability of 1 in 1000.
        at = np.concatenate([found, wanted])
        distance = np.abs(np.searchsorted(found, at, "right") - np.searchsorted(wanted, at, "right")).max() / draws
        assert distance < 0.028


def masked_as_beit(side, count, least, rng):
    """Return the number of new patches of each block as BEiT's code draws them; single patches then fill up to ``count``."""
    mask, added = np.zeros((side, side), bool), []
    tries = 0
    while sum(added) < count and tries < 10:
        left = count - sum(added)
        tries += 1
        area, ratio = least + rng.random() * (left - least), np.exp(rng.uniform(np.log(0.3), -np.log(0.3)))
        rows, columns = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if max(rows, columns) < side:
            y, x = rng.integers(side - rows + 1), rng.integers(side - columns + 1)
            block = mask[y : y + rows, x : x + columns]
            if 0 < (new := int((~block).sum())) <= left:
                block[:] = True
                added.append(new)
                tries = 0
    return added


@pytest.mark.parametrize(("side", "count", "least"), [(14, 75, 16), (16, 102, 16), (8, 26, 4)])
def test_blocks_are_as_many_and_as_large_as_beit_s(monkeypatch, side, count, least):
    ours: list[list[int]] = []
    real = masking._add_block

    def watched(*args):
        added = real(*args)
        if added:
            ours[-1].append(added)
        return added

    monkeypatch.setattr(masking, "_add_block", watched)
    draws, generator, rng = 1500, torch.Generator().manual_seed(0), np.random.default_rng(1)
    for _ in range(draws):
        ours.append([])
        mask_blocks((side, side), count, least, generator=generator)
    theirs = [masked_as_beit(side, count, least, rng) for _ in range(draws)]
    for measure in (len, lambda added: count - sum(added), lambda added: added[-1]):
        # The means of equal distributions differ by more than three standard errors in about 1 of 370 cases.
        found, wanted = (np.array([measure(added) for added in images]) for images in (ours, theirs))
        error = np.sqrt((found.var() + wanted.var()) / draws)
        assert abs(found.mean() - wanted.mean()) < 3 * error
    found, wanted = (np.sort(np.concatenate(images)) for images in (ours, theirs))
    at = np.concatenate([found, wanted])
    shares = [np.searchsorted(one, at, "right") / len(one) for one in (found, wanted)]
    assert np.abs(shares[0] - shares[1]).max() < 1.63 * np.sqrt(1 / len(found) + 1 / len(wanted))


def test_few_patches_are_masked_one_by_one():
    generator = torch.Generator().manual_seed(0)
    singles = []
    for _ in range(2000):
        mask = torch.zeros(14, 14, dtype=torch.bool)
        while (left := 75 - int(mask.sum())) and masking._add_block(mask, left, 16, 0.3, generator):
            pass
        singles.append(left)
    # BEiT's rule in plain Python gave 0.52 over 10,000 draws; without blocks below 16 patches it is 1.1.
    assert 0.4 < np.mean(singles) < 0.6


@pytest.mark.parametrize("count", [-1, 17])
def test_more_than_there_are(count):
    with pytest.raises(ValueError, match="of 4 x 4 patches"):
        mask_blocks((4, 4), count)


def texts(batch=64, length=30):
    tokens = torch.randint(4, 200, (batch, length))
    lengths = torch.randint(3, length + 1, (batch, 1))
    place = torch.arange(length)
    tokens[:, 0] = 0
    tokens[place == lengths - 1] = 2
    padding = place >= lengths
    tokens[padding] = 1
    return tokens, padding


@pytest.mark.parametrize("ratio", [0.15, 0.5, 1.0])
def test_words_are_as_many_as_wanted(ratio):
    tokens, padding = texts()
    masked, chosen = mask_tokens(tokens, padding, ratio, 250, 200)
    words = (tokens > 2).sum(dim=1)
    assert torch.equal(chosen.sum(dim=1), (words * ratio).round().clamp(min=1).long().minimum(words))
    assert not chosen[tokens <= 2].any()
    assert torch.equal(masked[~chosen], tokens[~chosen])


def test_special_tokens_are_never_masked():
    """10,000 texts."""
    tokens, padding = texts(batch=10_000)
    masked, chosen = mask_tokens(tokens, padding, 0.15, 250, 200)
    assert not chosen[(tokens <= 2) | padding].any()
    assert torch.equal(masked[tokens <= 2], tokens[tokens <= 2])
    words = int((tokens > 2).sum())
    assert int(chosen.sum()) / words == pytest.approx(0.15, abs=0.01)
    often = (chosen.sum(dim=0) / (tokens > 2).sum(dim=0).clamp(min=1))[1:-1]
    assert float(often.max() - often.min()) < 0.1


def test_by_what_words_are_replaced():
    tokens, padding = texts(batch=400)
    masked, chosen = mask_tokens(tokens, padding, 0.5, 250, 200)
    was, now = tokens[chosen], masked[chosen]
    assert (now == 250).float().mean() == pytest.approx(0.8, abs=0.03)
    assert (now == was).float().mean() == pytest.approx(0.1, abs=0.03)
    others = now[(now != 250) & (now != was)]
    assert len(others) / len(now) == pytest.approx(0.1, abs=0.03)
    assert int(others.min()) >= 3
    assert int(others.max()) < 200


def test_all_by_the_mask_and_none_at_all():
    tokens, padding = texts()
    masked, chosen = mask_tokens(tokens, padding, 0.5, 250, 200, replace_probs=(1.0, 0.0))
    assert (masked[chosen] == 250).all()
    masked, chosen = mask_tokens(tokens, padding, 0.0, 250, 200)
    assert torch.equal(masked, tokens)
    assert not chosen.any()


def test_the_same_again():
    tokens, padding = texts()
    first, second = (mask_tokens(tokens, padding, 0.3, 250, 200, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize(("ratio", "replaced"), [(1.5, (0.8, 0.1)), (0.5, (0.8, 0.3)), (0.5, (-0.1, 0.1))])
def test_shares_that_are_none(ratio, replaced):
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        mask_tokens(*texts(), ratio, 250, 200, replace_probs=replaced)
