"""Models and data that do not fit each other end in one line, through the command."""

import io
import subprocess
import sys
import tarfile

import pytest

from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.pretrain.tokenizers import train_text_tokenizer
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
        (["model.network.arch.vocab_size=16"], "more than the 16 rows of the model's word table"),
        (["train_dataloader.dataset.image_size=100"], "no grid of patches of 16"),
        (["train_dataloader.dataset.patch_size=32"], "the model's are 16"),
        (
            ["train_dataloader.dataset.streams.texts.masking.max_length=63"],
            "'texts' has texts of up to 63 tokens, more than the 62",
        ),
        (["train_dataloader.dataset.tokenizer=none.spm"], "'none.spm' cannot be read"),
        (["train_dataloader.dataset.streams.images.paths=empty"], "no image (jpg"),
        (["train_dataloader.dataset.streams.texts.paths=latin.txt"], "text is not UTF-8"),
        (["train_dataloader.dataset.streams.pairs.paths=no_captions.jsonl"], "JSON has no 'text'"),
        (["train_dataloader.dataset.streams.pairs.paths=no_captions.tar"], "no txt or json among its members"),
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
