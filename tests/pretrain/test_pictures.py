"""Pictures of codes, and texts with their predicted words."""

import numpy as np
import torch

from mmbeit3.pretrain.hooks import format_reconstruction
from mmbeit3.pretrain.pictures import CodePatches, draw_reconstruction, side_by_side
from mmbeit3.text import TextTokenizer, train_text_tokenizer

GRID = (2, 3)


def image():
    """Make an image whose patches of 8 x 8 pixels each have a different grey."""
    values = torch.tensor([[10, 20, 30], [40, 50, 60]], dtype=torch.uint8)
    return values.repeat_interleave(8, 0).repeat_interleave(8, 1).expand(3, -1, -1)


def test_codes_look_like_the_mean_of_their_patches():
    patches = CodePatches(5, patch_size=8)
    patches.add(image()[None], torch.tensor([[0, 0, 1, 1, 2, 2]]), GRID)
    picture = patches.draw(torch.tensor([2, 1, 0, 4, 0, 1]), GRID)
    assert picture.shape == (16, 24, 3)
    assert picture[::8, ::8, 0].tolist() == [[55, 35, 15], [128, 15, 35]]


def test_what_is_drawn():
    patches = CodePatches(6, patch_size=8)
    patches.add(image()[None], torch.arange(6)[None], GRID)
    masked = torch.tensor([[True, False, False], [False, False, True]])
    pictures = draw_reconstruction(image(), masked, torch.arange(6), torch.tensor([3, 1, 2, 3, 4, 5]), patches)
    found = [picture[::8, ::8, 0].tolist() for picture in pictures]
    assert found[0] == [[10, 20, 30], [40, 50, 60]]
    assert found[1] == [[128, 20, 30], [40, 50, 128]]
    assert found[2] == [[40, 20, 30], [40, 50, 60]]
    assert found[3] == found[0]
    sheet = side_by_side([pictures, pictures])
    assert sheet.shape == (2 * 16 + 4, 4 * 24 + 3 * 4, 3)
    np.testing.assert_array_equal(sheet[20:, 28:52], pictures[1])


def test_texts(tmp_path):
    lines = ["two red stars on sand", "a blue cross on grass", "three green circles on sand"] * 20
    tokenizer = TextTokenizer(train_text_tokenizer(lines, tmp_path / "t.spm", 25))
    words, _ = tokenizer.batch(["two red stars"], 64, pad_to_max=True)
    masked = torch.zeros_like(words, dtype=torch.bool)
    assert format_reconstruction(tokenizer, words[0], masked[0], words[0]) == "two red stars"
    masked[0, 1] = True
    first = tokenizer.piece(int(words[0, 1])).removeprefix("▁")
    assert format_reconstruction(tokenizer, words[0], masked[0], words[0]).startswith(f"[{first}]")
    predicted = words.clone()
    predicted[0, 1] = tokenizer.mask_id
    assert f"[<mask>, not {first}]" in format_reconstruction(tokenizer, words[0], masked[0], predicted[0])
    predicted[0, 1] = 10_000
    assert f"[nothing, not {first}]" in format_reconstruction(tokenizer, words[0], masked[0], predicted[0])
