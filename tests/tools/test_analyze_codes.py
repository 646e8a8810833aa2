"""tools/analyze_codes.py: its files, and what it refuses."""

import cv2
import numpy as np
import torch

from mmbeit3.pretrain.image_tokenizers import VQKD
from tests.tools.calls import refused


def test_files_and_faults(call, tmp_path):
    torch.manual_seed(0)
    tokenizer = VQKD(64, 1, 1, 32, 16, num_codes=8, code_dims=4)
    torch.save(
        {"state_dict": {f"tokenizer.{name}": value for name, value in tokenizer.state_dict().items()}}, tmp_path / "t.pth"
    )
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(2):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), np.full((40, 50, 3), 100 * index, np.uint8))
        cv2.imwrite(str(tmp_path / "labels" / f"{index}.png"), np.full((40, 50), index, np.uint8))
    command = ["analyze_codes", str(tmp_path / "t.pth"), str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    with_labels = [*command, "--labels", str(tmp_path / "labels")]
    assert call(*with_labels)[0] == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["codes.json", "codes.md", "codes.png"]
    cv2.imwrite(str(tmp_path / "labels" / "1.png"), np.full((40, 50), 255, np.uint8))
    cv2.imwrite(str(tmp_path / "labels" / "0.png"), np.full((40, 50), 255, np.uint8))
    refused(call(*with_labels), "have no labelled patch")
    cv2.imwrite(str(tmp_path / "labels" / "0.png"), np.full((40, 50), 300, np.uint16))
    refused(call(*with_labels), "0.png' has values from 300 to 300")
    cv2.imwrite(str(tmp_path / "labels" / "0.png"), np.zeros((20, 25), np.uint8))
    refused(call(*with_labels), "0.png' has 25 x 20 pixels, but its image '", "0.png' has 50 x 40")
    assert call(*command, "--heads", "2")[0] == 0
    refused(call(*command, "--heads", "3"), "width of 64 is not a multiple of its 3 heads")
    (tmp_path / "labels" / "0.png").unlink()
    refused(call(*with_labels), "label image", "0.png' cannot be read")
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    refused(call(*command), "1.png")
