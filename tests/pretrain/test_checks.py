"""Configs whose model and data do not fit each other: the command ends with a one-line error."""

import io
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.pretrain.steps import check_streams
from mmbeit3.pretrain.views import Masking
from mmbeit3.text import TextTokenizer, train_text_tokenizer
from tests.paths import ROOT

pytest.importorskip("sentencepiece")
pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("checks")
    folder = make_shapes_dataset(place / "data" / "shapes-plain", train=4, val=2, size=64)
    train_text_tokenizer((folder / "texts_train.txt").read_text().splitlines(), folder / "texts.spm", 40)
    (place / "empty").mkdir()
    (place / "latin.txt").write_bytes("grün\n".encode("latin-1") * 200)
    (place / "no_captions.jsonl").write_text('{"image": "data/shapes-plain/train2017/000000000001.jpg"}\n' * 200)
    image = (folder / "train2017" / "000000000001.jpg").read_bytes()
    with tarfile.open(place / "no_captions.tar", "w") as tar:
        for index in range(200):
            info = tarfile.TarInfo(f"{index:03d}.jpg")
            info.size = len(image)
            tar.addfile(info, io.BytesIO(image))
    return place


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["model.network.arch.vocab_size=16"], "more than the 16 rows of the model's word embedding"),
        (["train_dataloader.dataset.image_size=100"], "image_size 100 is not a multiple of patch_size 16"),
        (["train_dataloader.dataset.patch_size=32"], "the model's is 16"),
        (
            ["train_dataloader.dataset.streams.texts.masking.max_length=63"],
            "'texts' has texts of up to 63 tokens, more than the 62",
        ),
        (
            ["model.network.loss_weights.image=2"],
            "loss_weights has 'image', which no stream has: use images.image, ",
        ),
        (["train_dataloader.dataset.streams.images.masking.image_ratio=40"], "image_ratio must be a fraction from 0 to 1"),
        (["train_dataloader.dataset.tokenizer=none.spm"], "'none.spm' cannot be read"),
        (["train_dataloader.dataset.streams.images.paths=empty"], "no image (.jpg, "),
        (["train_dataloader.dataset.streams.texts.paths=latin.txt"], "text is not UTF-8"),
        (["train_dataloader.dataset.streams.pairs.paths=no_captions.jsonl"], "JSON has no 'text'"),
        (["train_dataloader.dataset.streams.pairs.paths=no_captions.tar"], "no txt or json among the record's members"),
        (["train_dataloader.dataset.streams.images=None"], "stream 'images' is None instead of a dict"),
        (["optim_wrapper.type=AmpOptimWrapper"], "which MMEngine does not support on 'cpu'"),
        (["default_hooks.checkpoint.interval=5", "optim_wrapper.accumulative_counts=2"], "multiple of accumulative_counts"),
    ],
)
def test_one_line(place, options, reason):
    config = ROOT / "configs" / "pretrain" / "beit3-tiny_mdm_shapes.py"
    command = [sys.executable, str(ROOT / "tools" / "train.py"), str(config), "--cfg-options", "train_dataloader.num_workers=0"]
    command += ["train_dataloader.persistent_workers=False", "model.tokenizer.checkpoint=None", *options]
    result = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert reason in last
    assert "Traceback" not in result.stderr


GOOD = {"kind": "images", "paths": "x", "batch": 2}


@pytest.mark.parametrize(
    ("streams", "reason"),
    [
        (None, "streams must be a dict with at least one stream"),
        ({}, "streams must be a dict with at least one stream"),
        ({"a": None}, "stream 'a' is None instead of a dict"),
        ({"a": GOOD | {"kind": "videos"}}, "stream 'a': kind must be one of images, texts, pairs, got 'videos'"),
        *(
            (
                {"a": GOOD, "b": GOOD | {"batch": batch}},
                f"stream 'b': batch must be a positive whole number of records, got {batch!r}",
            )
            for batch in (0, -3, 1.5, 2.0, "2", True, None)
        ),
        ({"a": GOOD | {"paths": None}}, "stream 'a': paths must be a path or a list of paths, got None"),
        ({"a": GOOD | {"paths": []}}, "stream 'a': paths must be a path or a list"),
        ({"a": GOOD | {"masking": 0.4}}, "stream 'a': masking must be a dict of arguments, got 0.4"),
    ],
)
def test_streams(streams, reason):
    with pytest.raises(UserError) as error:
        check_streams(streams)
    assert str(error.value).startswith(reason)


def test_streams_that_are_right():
    check_streams({"a": GOOD, "b": GOOD | {"paths": ["x", "y"], "masking": None, "view": {"hflip": 0}}})


def test_texts_that_the_vocabulary_does_not_know(place, caplog):
    folder = place / "data" / "shapes-plain"
    known = (folder / "texts_train.txt").read_text().splitlines()[0]
    for texts, expected in (
        ([known] * 50 + ["\u4f60\u597d"] * 150, "150 of 200 texts at the start of stream 'texts' (75%) are all unknown"),
        ([known] * 200, ""),
    ):
        masking = Masking(tokenizer=TextTokenizer(folder / "texts.spm"), name="texts")
        caplog.clear()
        for start in range(0, 200, 20):
            masking([{"text": text} for text in texts[start : start + 20]], np.random.default_rng(0))
        masking([{"text": "\u4f60"}] * 300, np.random.default_rng(0))
        assert len(caplog.messages) == bool(expected)
        assert expected in caplog.text
