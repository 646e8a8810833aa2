import cv2
import numpy as np
import pytest

from mmbeit3.datasets.transforms import LoadImageOrFail
from mmbeit3.errors import UserError


def test_loads_as_mmcv(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    loaded = LoadImageOrFail()({"img_path": str(tmp_path / "a.png")})
    assert np.array_equal(loaded["img"], image)
    assert loaded["ori_shape"] == (9, 7)


@pytest.mark.parametrize("content", [b"", b"no image at all", None, b"cut"])
def test_a_file_that_cannot_be_read(tmp_path, content):
    path = tmp_path / "broken.png"
    if content == b"cut":
        cv2.imwrite(str(path), np.zeros((40, 40, 3), np.uint8))
        content = path.read_bytes()[:20]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png'.*(does not exist|damaged)") as error:
        LoadImageOrFail()({"img_path": str(path)})
    assert "\n" not in str(error.value)
