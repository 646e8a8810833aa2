"""Masked data modeling on images, texts and pairs."""

import pytest
import torch
from torch.nn import functional as F

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.models.beit3 import Stream
from mmbeit3.pretrain import MaskedBatch, MaskedDataModeling, mask_tokens
from tests.goldens import ARCH, golden

CODES = 11


def batches():
    images, tokens = torch.randn(2, 3, 64, 64), torch.randint(3, 290, (3, 9))
    padding = torch.arange(9) >= torch.tensor([[9], [4], [6]])
    seen, masked_words = mask_tokens(tokens, padding, 0.5, 299, 290)
    pair = {"image": torch.randn(3, 3, 64, 64), "masked_positions": torch.rand(3, 16) < 0.4}
    text = {"tokens": seen, "padding_mask": padding}
    words = {"words": tokens, "masked_words": masked_words}
    return {
        "images": MaskedBatch(Stream(images, masked_positions=torch.rand(2, 16) < 0.4), torch.randint(CODES, (2, 16))),
        "texts": MaskedBatch(Stream(**text), **words),
        "pairs": MaskedBatch(Stream(**pair, **text), torch.randint(CODES, (3, 16)), **words),
    }


def test_losses_are_of_what_is_masked_alone():
    model = MaskedDataModeling(ARCH, CODES).eval()
    given = batches()
    results = model.losses(given)
    assert {name.removesuffix(".loss") for name in results if name.endswith("loss")} == {
        "images.image",
        "texts.text",
        "pairs.image",
        "pairs.text",
    }
    for name, batch in given.items():
        stream = batch.stream
        out = model(stream.image, stream.tokens, stream.padding_mask, stream.masked_positions)
        if batch.codes is not None:
            logits = model.mim_head(out.vision[:, 1:])[stream.masked_positions]
            targets = batch.codes[stream.masked_positions]
            torch.testing.assert_close(results[f"{name}.image.loss"], F.cross_entropy(logits, targets), atol=1e-5, rtol=1e-5)
            accuracy = (logits.argmax(-1) == targets).float().mean()
            torch.testing.assert_close(results[f"{name}.image.accuracy"], accuracy)
        if batch.words is not None:
            logits = model.mlm_head(out.language)[batch.masked_words]
            expected = F.cross_entropy(logits, batch.words[batch.masked_words])
            torch.testing.assert_close(results[f"{name}.text.loss"], expected, atol=1e-5, rtol=1e-5)


def test_weights_of_losses():
    plain = MaskedDataModeling(ARCH, CODES).eval()
    weighted = MaskedDataModeling(ARCH, CODES, loss_weights={"pairs.image": 0.25}).eval()
    weighted.load_state_dict(plain.state_dict())
    given = batches()
    ours, theirs = weighted.losses(given), plain.losses(given)
    torch.testing.assert_close(ours["pairs.image.loss"], 0.25 * theirs["pairs.image.loss"])
    torch.testing.assert_close(ours["images.image.loss"], theirs["images.image.loss"])


def test_loss_of_visible_patches():
    plain = MaskedDataModeling(ARCH, CODES).eval()
    both = MaskedDataModeling(ARCH, CODES, loss_weights={"images.visible": 0.5}).eval()
    both.load_state_dict(plain.state_dict())
    given = batches()
    ours, theirs = both.losses(given), plain.losses(given)
    # Only the stream with a weight has it, and the other losses do not change.
    assert set(ours) - set(theirs) == {"images.visible.loss", "images.visible.accuracy"}
    torch.testing.assert_close({name: ours[name] for name in theirs}, theirs, atol=1e-5, rtol=1e-5)
    batch = given["images"]
    out = both(batch.stream.image, masked_positions=batch.stream.masked_positions)
    visible = ~batch.stream.masked_positions
    expected = F.cross_entropy(both.mim_head(out.vision[:, 1:])[visible], batch.codes[visible])
    torch.testing.assert_close(ours["images.visible.loss"], 0.5 * expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both.reconstruct(given), plain.reconstruct(given))


def test_nothing_masked_is_no_loss_and_still_a_gradient_for_all():
    model = MaskedDataModeling(ARCH, CODES)
    given = batches()
    given["images"].stream.masked_positions[:] = False
    given = {"images": given["images"]}
    results = model.losses(given)
    assert results["images.image.loss"].item() == 0
    results["images.image.loss"].backward()
    assert model.mim_head.weight.grad is not None


def test_learns():
    model = MaskedDataModeling(ARCH, CODES)
    given = batches()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        results = model.losses(given)
        loss = sum(value for name, value in results.items() if name.endswith("loss"))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_official_files_load_with_their_heads():
    weights = golden("beit3_tiny_a.npz")["weights"]
    official = {name: value for name, value in weights.items() if name.startswith("beit3.")}
    official |= {
        "mim_head.weight": torch.randn(CODES, 48),
        "mim_head.bias": torch.randn(CODES),
        "mlm_head.weight": torch.randn(300, 48),
        "mlm_head.bias": torch.randn(300),
    }
    model = MaskedDataModeling(ARCH, CODES)
    report = load_checkpoint(model, official)
    assert not report.missing
    assert not report.unused
    torch.testing.assert_close(model.mlm_head.weight, official["mlm_head.weight"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda batch: setattr(batch, "codes", None), "its codes are None"),
        (lambda batch: setattr(batch, "codes", batch.codes[:, :4]), r"masks patches \(3, 16\), but its codes are \(3, 4\)"),
        (lambda batch: setattr(batch, "words", None), "masked_words without the words"),
    ],
)
def test_targets_that_do_not_fit(change, reason):
    pairs = batches()["pairs"]
    change(pairs)
    with pytest.raises(ValueError, match=reason):
        MaskedDataModeling(ARCH, CODES).losses({"pairs": pairs})


def test_a_stream_that_masks_nothing():
    with pytest.raises(ValueError, match="'images' masks nothing"):
        MaskedDataModeling(ARCH, CODES).losses({"images": MaskedBatch(Stream(torch.randn(1, 3, 64, 64)))})
