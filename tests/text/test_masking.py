"""Random selection and replacement of tokens."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbeit3.pretrain.masking import mask_tokens
from mmbeit3.tasks.masked_captions import mask_captions
from mmbeit3.text.masking import choose_positions, replace_tokens

PRETRAINING = [[10, 99, 12, 99, 14, 99, 99, 99, 99, 19, 99, 99], [22, 99, 99, 25, 26, 99, 99, 29, 3, 31, 32, 33]]
CAPTIONING = [[10, 99, 99, 99, 14, 99, 99, 99, 99, 19, 99, 99], [22, 99, 99, 39, 26, 99, 99, 29, 30, 89, 94, 99]]


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.booleans(), min_size=7, max_size=7), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_choose_positions(rows, seed):
    candidates = torch.tensor(rows)
    generator = torch.Generator().manual_seed(seed)
    most = candidates.sum(dim=1)
    counts = (torch.rand(len(rows), generator=generator) * (most + 1)).long()
    chosen = choose_positions(candidates, counts, generator)
    assert torch.equal(chosen.sum(dim=1), counts)
    assert not chosen[~candidates].any()


def test_positions_are_chosen_uniformly():
    candidates = torch.tensor([[False, True, True, True, True]]).expand(8000, 5)
    often = choose_positions(candidates, torch.full((8000,), 2)).float().mean(dim=0)
    torch.testing.assert_close(often, torch.tensor([0, 0.5, 0.5, 0.5, 0.5]), atol=0.03, rtol=0)


def test_replace_tokens_follows_the_intervals():
    tokens = torch.arange(100, 20100).view(4, 5000)
    chosen = torch.ones_like(tokens, dtype=torch.bool)
    chosen[0] = False
    random_ids = torch.tensor([7, 9])
    results = replace_tokens(tokens, chosen, 3, random_ids, 0.5, (0.7, 0.9), torch.Generator().manual_seed(0))
    draws = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(results[0], tokens[0])
    results, draws, tokens = results[1:], draws[1:], tokens[1:]
    assert (results[draws < 0.5] == 3).all()
    assert results[(draws >= 0.7) & (draws < 0.9)].unique().tolist() == [7, 9]
    kept = ((draws >= 0.5) & (draws < 0.7)) | (draws >= 0.9)
    assert torch.equal(results[kept], tokens[kept])


def test_results_of_a_seed_stay_the_same():
    """Changed results would change every training that is repeated with its seed; both callers are pinned."""
    tokens, padding = torch.arange(10, 34).view(2, 12), torch.zeros(2, 12, dtype=torch.bool)
    masked, _ = mask_tokens(tokens, padding, 0.75, 99, 90, generator=torch.Generator().manual_seed(5))
    assert masked.tolist() == PRETRAINING
    masked, _ = mask_captions(tokens, padding, 0.75, 99, torch.Generator().manual_seed(5))
    assert masked.tolist() == CAPTIONING
