"""Retrieval inferencer: results equal those of a comparison with every image."""

import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmbeit3.errors import UserError
from mmbeit3.inference import RetrievalInferencer
from tests.datasets.made import CAPTIONS
from tests.inference.made import checkpoint, config, expected

MODEL = {"type": "mmbeit3.BEiT3Retrieval"}


@pytest.fixture(scope="module")
def trained(tokenizer, tmp_path_factory):
    cfg = config(MODEL, tokenizer)
    folder = tmp_path_factory.mktemp("retrieval")
    return cfg, checkpoint(cfg, folder / "a.pth"), checkpoint(cfg, folder / "b.pth", seed=6)


@pytest.fixture
def inferencer(trained):
    return RetrievalInferencer(trained[0], trained[1], "cpu", show_progress=False)


@pytest.fixture
def folder(images, tmp_path):
    """Two folders with the images and two files that are not images."""
    for number, path in enumerate(images):
        target = tmp_path / "folder" / ("deep" if number % 2 else "") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (tmp_path / "folder" / "1b.png").write_bytes(b"")
    (tmp_path / "folder" / "deep" / "3b.jpg").write_text("no image")
    return tmp_path / "folder"


def brute_force(trained, inferencer, paths, text=None, image=None):
    """Return paths and cosines, closest first; each image is encoded alone."""
    cfg, weights, _ = trained

    def feature(name, pixels, text=None):
        inputs = inferencer.collate_fn([inferencer.pipeline(pixels, text)])["inputs"]
        return expected(cfg, weights, inputs)[0][name]

    query = feature("text_feature", [], text) if text else feature("image_feature", [image])
    cosines = {str(path): float(query @ feature("image_feature", [cv2.imread(str(path))])) for path in paths}
    return sorted(cosines.items(), key=lambda item: -item[1])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_queries_find_what_brute_force_finds(trained, inferencer, folder, workers):
    left_out = inferencer.index(folder, batch_size=3, num_workers=workers)
    assert left_out == [str(folder / "1b.png"), str(folder / "deep" / "3b.jpg")]
    paths = [path for path in sorted(folder.rglob("*.png")) if path.name != "1b.png"]
    assert inferencer.images.names == tuple(map(str, paths))
    torch.testing.assert_close(inferencer.images.features.norm(dim=1), torch.ones(5))
    picture = cv2.imread(str(paths[2]))
    for text, image in ((CAPTIONS[0], None), ("blue box", None), (None, picture), (None, 255 - picture)):
        wanted = brute_force(trained, inferencer, paths, text, image)
        found = inferencer.query(text=text, image=image, top_k=4)
        assert [match["image"] for match in found] == [path for path, _ in wanted[:4]]
        np.testing.assert_allclose([match["score"] for match in found], [score for _, score in wanted[:4]], atol=1e-5)
    assert inferencer.query(image=paths[3])[0]["image"] == str(paths[3])
    assert len(inferencer.query(image=paths[3], top_k=50)) == 5


def test_several_queries_in_batches(inferencer, images):
    assert inferencer.index(images) == []
    one, several = (inferencer(CAPTIONS, top_k=3, batch_size=size)["predictions"] for size in (1, 4))
    assert [each["text"] for each in one] == CAPTIONS
    for first, second in zip(one, several, strict=True):
        assert [match["image"] for match in first["matches"]] == [match["image"] for match in second["matches"]]
    found = inferencer(images=images, batch_size=2, top_k=1)["predictions"]
    assert [each["matches"][0]["image"] for each in found] == [each["image"] for each in found] == list(map(str, images))


def test_pictures(inferencer, images, tmp_path):
    inferencer.index(images)
    found = inferencer(CAPTIONS[:2], return_vis=True, out_dir=tmp_path / "drawn", top_k=3)
    for picture in found["visualization"]:
        # Three images of 24 x 40 pixels at a height of 192, and at least the text and three names.
        assert picture.shape[0] >= 192 + 16 + 4 * 20
        assert picture.shape[1:] == (3 * 320 + 2 * 4, 3)
    first = cv2.imread(found["predictions"][0]["matches"][0]["image"])[..., ::-1]
    assert found["visualization"][0][90, 80].tolist() == first[11, 10].tolist()
    assert len(list((tmp_path / "drawn").iterdir())) == 2
    by_image = inferencer(images=images[0], return_vis=True, top_k=20)["visualization"][0]
    assert by_image.shape[1] == 6 * 320 + 5 * 4


def test_index_in_a_file(trained, inferencer, folder, tmp_path):
    inferencer.index(folder)
    inferencer.save(tmp_path / "index.safetensors")
    again = RetrievalInferencer(trained[0], trained[1], "cpu", show_progress=False)
    again.load(tmp_path / "index.safetensors")
    assert again.images.names == inferencer.images.names
    found, expected = again.query("red fox", top_k=3), inferencer.query("red fox", top_k=3)
    assert [item["image"] for item in found] == [item["image"] for item in expected]
    assert [item["score"] for item in found] == pytest.approx([item["score"] for item in expected], abs=1e-6)
    other = RetrievalInferencer(trained[0], trained[2], "cpu", show_progress=False)
    with pytest.raises(UserError, match=r"index\.safetensors' was made with other weights"):
        other.load(tmp_path / "index.safetensors")


def test_names_that_are_not_utf8(trained, inferencer, folder, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    (folder / "0.png").rename(folder / f"{name}.png")
    (folder / f"{name} broken.png").touch()
    assert str(folder / f"{name} broken.png") in inferencer.index(folder)
    assert str(folder / f"{name}.png") in inferencer.images.names
    inferencer.save(tmp_path / "index")
    again = RetrievalInferencer(trained[0], trained[1], "cpu", show_progress=False)
    again.load(tmp_path / "index")
    assert again.images.names == inferencer.images.names
    found = again(CAPTIONS[:1], top_k=5, out_dir=tmp_path / f"{name}.d")
    assert len(list((tmp_path / f"{name}.d").iterdir())) == 1
    assert str(folder / f"{name}.png") in {match["image"] for match in found["predictions"][0]["matches"]}


def test_embeddings_are_what_is_searched(inferencer, images):
    inferencer.index(images, batch_size=2)
    found, names = inferencer.embed_images(images, batch_size=2, return_names=True)
    assert found.dtype == np.float32
    assert names == list(map(str, images))
    np.testing.assert_array_equal(found, inferencer.images.features.numpy())
    pixels = [cv2.imread(str(path)) for path in images]
    mixed = [images[0], pixels[1], Image.fromarray(pixels[2][..., ::-1]), str(images[3]), pixels[4]]
    again, names = inferencer.embed_images(mixed, return_names=True)
    np.testing.assert_allclose(again, found, atol=1e-6)
    assert names == [str(images[0]), None, None, str(images[3]), None]
    texts = inferencer.embed_texts(CAPTIONS, batch_size=3)
    assert (texts.shape, texts.dtype) == ((len(CAPTIONS), found.shape[1]), np.float32)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-6)
    cosines = texts @ found.T
    for row, caption in zip(cosines, CAPTIONS, strict=True):
        matches = inferencer.query(caption, top_k=5)
        assert [match["image"] for match in matches] == [str(images[place]) for place in (-row).argsort()]
        np.testing.assert_allclose([match["score"] for match in matches], -np.sort(-row), atol=1e-6)
    assert len(np.unique(cosines.argmax(axis=1))) > 1


def test_embeddings_need_no_index_and_leave_out_what_a_folder_has_broken(inferencer, folder, images, monkeypatch):
    lines = []
    monkeypatch.setattr("mmbeit3.inference.base.print_log", lambda line, *given: lines.append(line))
    found, names = inferencer.embed_images(folder, return_names=True)
    assert names == [str(path) for path in sorted(folder.rglob("*.png")) if path.name != "1b.png"]
    np.testing.assert_allclose(found, [inferencer.embed_images(name)[0] for name in names], atol=1e-6)
    assert len(lines) == 2
    assert "1b.png" in lines[0]
    assert "3b.jpg" in lines[1]
    assert inferencer.embed_texts("red fox").shape == (1, found.shape[1])
    assert inferencer.images is None


def test_left_out_images_are_logged(inferencer, folder, monkeypatch):
    lines = []
    monkeypatch.setattr("mmbeit3.inference.retrieval.print_log", lambda line, logger: lines.append(line))
    inferencer.index(folder)
    one, two = folder / "1b.png", folder / "deep" / "3b.jpg"
    assert lines == [f"2 of 7 images cannot be read and are skipped: {one}, {two}"]


def test_progress(inferencer, images, capsys):
    inferencer.index(images, show_progress=True)
    assert "100%" in capsys.readouterr().out


def test_what_cannot_be_done(inferencer, images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.touch()
    cases = [
        (lambda: inferencer.query("red"), r"no images to search in: call index\(\) with a folder, or load\(\)"),
        (lambda: inferencer.save(tmp_path / "index"), "no images to search in"),
        (lambda: inferencer.load(tmp_path / "index"), "index' does not exist"),
        (lambda: inferencer.index(tmp_path / "absent"), "absent' does not exist: give a folder"),
        (lambda: inferencer.index([]), "list of images is empty"),
        (lambda: inferencer.embed_images([]), "list of images is empty"),
        (lambda: inferencer.embed_texts([]), "list of texts is empty"),
        (lambda: inferencer.embed_texts(["red", " "]), "text 1 is empty"),
        (lambda: inferencer.embed_images([images[0], bad]), r"bad\.png' is empty"),
        (lambda: inferencer.embed_images(tmp_path), "none of 1 inputs can be read, first error: .*bad"),
        (lambda: inferencer.embed_images(images, batch_size=0), "batch_size must be a whole number from 1"),
        (lambda: inferencer.index([bad, tmp_path / "absent.png"]), "none of 2 images can be read"),
    ]
    later = [
        (lambda: inferencer.query(" "), "text 0 is empty"),
        (lambda: inferencer.query(image=bad), r"bad\.png' is empty"),
        (lambda: inferencer.query("red", top_k=0), "top_k must be at least 1"),
    ]
    for number, (call, message) in enumerate([*cases, *later]):
        if number == len(cases):
            inferencer.index(images)
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    for given in ({}, {"text": "red", "image": images[0]}):
        with pytest.raises(ValueError, match="either texts or images: give exactly one"):
            inferencer.query(**given)
