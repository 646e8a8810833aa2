"""Files that are never there by half, and errors of writing in one line."""

import errno
import os
import resource
import signal
from contextlib import contextmanager

import pytest
import torch

from mmbeit3.checkpoint.writing import write_checkpoint, write_safetensors
from mmbeit3.datasets.shapes import make_shapes_dataset
from mmbeit3.errors import UserError
from mmbeit3.files import atomic_file, check_writable, naming_target, write_atomically
from mmbeit3.text import train_text_tokenizer


@contextmanager
def full_disk(size=2000):
    """Files may have so many bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_weights_on_a_full_disk(tmp_path, name):
    path = tmp_path / name
    write_checkpoint({"x": torch.zeros(3)}, path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(UserError, match=f"'{path}' cannot be written: File too large: give a path"):
        write_checkpoint({"x": torch.zeros(5000)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Permission denied: allow writing to the folder, or give another path"),
        (errno.EROFS, "Read-only file system: give a path on a writable disk"),
        (errno.ENOSPC, "No space left on device: free space on the disk"),
        (errno.EIO, "Input/output error: give another path"),
    ],
)
def test_reason_and_remedy(tmp_path, monkeypatch, number, remedy):
    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("mmbeit3.files.tempfile.mkstemp", refuse)
    monkeypatch.setattr("mmbeit3.files.tempfile.TemporaryFile", refuse)
    for write in (lambda path: write_atomically(path, b"1"), check_writable):
        with pytest.raises(UserError) as error:
            write(tmp_path / "a")
        assert str(error.value).startswith(f"'{tmp_path / 'a'}' cannot be written: {remedy}")


def test_trying_leaves_nothing(tmp_path):
    check_writable(tmp_path / "new" / "a.json")
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]
    with pytest.raises(UserError, match="Is a directory: give the path of a file, not of a folder"):
        check_writable(tmp_path)
    with full_disk(100), pytest.raises(UserError, match="File too large"):
        check_writable(tmp_path / "a.json")


def test_errors_of_other_files_are_left_alone(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_file(tmp_path / "out" / "a") as file:
        file.write((tmp_path / "none" / "b").read_bytes())
    with pytest.raises(RuntimeError, match="other"), naming_target(tmp_path / "a"):
        raise RuntimeError("other")
    assert not list((tmp_path / "out").iterdir())


def test_targets_below_a_file(tmp_path):
    """Whoever runs the tests may write anywhere; but not below a file."""
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "deep"
    for write in (
        lambda: write_safetensors({"x": torch.zeros(3)}, target / "a.safetensors"),
        lambda: train_text_tokenizer(iter(()), target / "a.spm"),
        lambda: make_shapes_dataset(target, train=1, val=1, size=64),
    ):
        with pytest.raises(UserError, match=r"cannot be written: .*: a file has the name of its folder"):
            write()


def test_made_data_on_a_full_disk(tmp_path):
    with full_disk(500), pytest.raises(UserError, match=r"shapes' cannot be written: File too large"):
        make_shapes_dataset(tmp_path / "shapes", train=1, val=1, size=64)
    assert not list(tmp_path.iterdir())
