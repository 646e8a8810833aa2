import pytest

from mmbeit3.datasets.coco_captions import CocoCaptions
from mmbeit3.errors import UserError
from tests.datasets.made import image, write


def nocaps(folder, **changes):
    for name in ("a.jpg", "b.jpg"):
        image(folder / "val" / name)
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "domain": "in-domain"}, {"id": 1, "file_name": "b.jpg"}],
        "annotations": [{"image_id": i, "id": 10 * i + k, "caption": f"caption {k}"} for i in (1, 3) for k in range(10)],
        **changes,
    }
    write(folder / "nocaps.json", content)
    return {"ann_file": "nocaps.json", "data_root": str(folder), "data_prefix": {"img_path": "val"}, "test_mode": True}


def test_an_entry_for_each_image(tmp_path):
    dataset = CocoCaptions(**nocaps(tmp_path))
    assert [dataset.get_data_info(i)["image_id"] for i in range(len(dataset))] == [3, 1]
    assert dataset.get_data_info(0)["gt_captions"] == [f"caption {k}" for k in range(10)]
    assert dataset.get_data_info(0)["img_path"] == str(tmp_path / "val" / "a.jpg")
    hidden = CocoCaptions(**nocaps(tmp_path, annotations=[]))
    assert [hidden.get_data_info(i)["gt_captions"] for i in range(len(hidden))] == [[], []]


def test_errors(tmp_path):
    with pytest.raises(UserError, match="annotation 0: image_id 9 is not in the file's 'images'"):
        CocoCaptions(**nocaps(tmp_path, annotations=[{"image_id": 9, "caption": "x"}]))
    with pytest.raises(UserError, match=r"image 0: image '.*c\.jpg' does not exist"):
        CocoCaptions(**nocaps(tmp_path, images=[{"id": 3, "file_name": "c.jpg"}], annotations=[]))
