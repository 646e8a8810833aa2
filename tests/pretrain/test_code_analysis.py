"""Analysis of codes on small images."""

import json

import cv2
import numpy as np
import pytest
import torch

from mmbeit3.pretrain.code_analysis import analyse_codes, draw_codes, patch_labels, read_patches
from mmbeit3.pretrain.data import ImageFolder
from mmbeit3.pretrain.image_tokenizers import VQKD

SIZES = {"dims": 64, "depth": 1, "heads": 1, "image_size": 32, "patch_size": 16, "num_codes": 8, "code_dims": 4}


def test_labels_of_patches():
    labels = torch.full((4, 8), 3, dtype=torch.uint8)
    labels[:2, :2] = torch.tensor([[1, 1], [1, 255]])
    labels[:2, 2:4] = torch.tensor([[255, 255], [7, 7]])
    labels[2:, :2] = torch.tensor([[255, 255], [255, 2]])
    assert patch_labels(labels, 2).tolist() == [1, 255, 3, 3, 255, 3, 3, 3]


@pytest.fixture
def data(tmp_path):
    """Three images of another size than the tokenizer's, and label images: left half 0, right half 1, a strip unlabelled."""
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        image = rng.integers(0, 80, (96, 128, 3), np.uint8)
        image[:, 64:] += 150
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), image)
        labels = np.zeros((96, 128), np.uint8)
        labels[:, 64:] = 1
        labels[:24] = 255
        cv2.imwrite(str(tmp_path / "labels" / f"{index}.png"), labels)
    torch.manual_seed(0)
    return tmp_path, VQKD(**SIZES).eval()


def test_patches(data):
    folder, tokenizer = data
    images = ImageFolder(folder / "images")
    patches = read_patches(tokenizer, images, folder / "labels", tiles=2)
    assert patches.places.tolist() == [[i, r, c] for i in range(3) for r in range(4) for c in range(4)]
    assert patches.labels.view(3, 4, 4).tolist() == [[[255] * 4, *[[0, 0, 1, 1]] * 3]] * 3
    # The codes of a tile are those of the tile alone.
    pixels = torch.from_numpy(images.record_at(1).load()["image"]).permute(2, 0, 1)[None].float() / 255
    pixels = torch.nn.functional.interpolate(pixels, (64, 64), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    tile = pixels[:, :, 32:, :32]
    assert patches.codes.view(3, 4, 4)[1, 2:, :2].tolist() == tokenizer.encode(tile)[0].view(2, 2).tolist()
    torch.testing.assert_close(patches.colours.view(3, 4, 4, 3)[1, 2, 1], pixels[0, :, 32:48, 16:32].mean(dim=(1, 2)))


def test_files(data):
    folder, tokenizer = data
    summary = analyse_codes(tokenizer, folder / "images", folder / "out", folder / "labels", codes=3, count=4)
    assert json.loads((folder / "out" / "codes.json").read_text()) == summary
    assert summary["patches"] == 48
    assert summary["labelled_patches"] == 36
    assert summary["label_entropy"] == pytest.approx(1)
    # Brightness tells the two halves apart.
    assert summary["information_of_colour"] == pytest.approx(1)
    assert 0 <= summary["information"] <= 1
    assert 0 < summary["codes_used"] <= 1
    assert summary["perplexity"] == pytest.approx(2 ** summary["entropy"])
    assert "mutual information of labels and codes" in (folder / "out" / "codes.md").read_text()
    patches = read_patches(tokenizer, ImageFolder(folder / "images"))
    counts = sorted(torch.bincount(patches.codes).tolist(), reverse=True)
    columns = min(3, sum(count > 0 for count in counts))
    picture = draw_codes(patches, ImageFolder(folder / "images"), codes=3, count=4)
    # A patch with its context has 48 pixels, drawn at twice the size; the gap has 4.
    assert picture.shape[1] == columns * 100 + 4
    assert picture.shape[0] > min(4, counts[0]) * 100
    np.testing.assert_array_equal(cv2.imread(str(folder / "out" / "codes.png"))[..., ::-1], picture)
