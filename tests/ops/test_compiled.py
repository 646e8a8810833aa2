"""Compilation at first use: the cache, and the messages if it fails."""

import os
import shutil
import subprocess
import sys

import pytest

from mmbeit3.ops.compiled import CompileError, cache_folder, load_library

COMPILER = shutil.which(os.environ.get("CC", "cc"))

CALL = """
import torch
from mmbeit3.ops import attend, ms_deform_attn
value = torch.ones(1, 12, 2, 4)
out = ms_deform_attn(value, [(3, 4)], torch.full((1, 5, 2, 1, 2, 2), 0.5), torch.ones(1, 5, 2, 1, 2))
assert torch.equal(out, torch.full((1, 5, 8), 2.0)), out
attend(*torch.ones(3, 1, 1, 40, 8).unbind())
from mmbeit3.ops.deform_attn import usable_kernels
print(usable_kernels(torch.device("cpu"), torch.float32)["cpu"])
"""


def call(**environment):
    done = subprocess.run(
        [sys.executable, "-c", CALL], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_without_a_compiler_the_reference_is_used_and_it_is_said(tmp_path):
    done = call(CC="no-such-compiler", MMBEIT3_HOME=str(tmp_path))
    assert "no C compiler (no-such-compiler) was found" in done.stdout
    assert done.stderr.count("slow reference form: no C compiler (no-such-compiler) was found") == 1
    assert done.stderr.count("attention on CPUs uses PyTorch's kernel: no C compiler") == 1


@pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
def test_compiled_once_and_kept(tmp_path):
    assert call(MMBEIT3_HOME=str(tmp_path)).stdout.strip() == "None"
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kernels").iterdir()}
    assert sorted(name.split("-")[0] for name in kept) == ["attention", "deform_attn"]
    call(MMBEIT3_HOME=str(tmp_path))
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "kernels").iterdir()} == kept


@pytest.mark.skipif(COMPILER is None, reason="no C compiler here")
def test_a_compiler_that_fails(tmp_path):
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'error: out of ideas' >&2; exit 1\n")
    compiler.chmod(0o755)
    done = call(CC=str(compiler), MMBEIT3_HOME=str(tmp_path))
    assert "deform_attn.c cannot be compiled or loaded" in done.stdout
    assert "out of ideas" in done.stdout
    assert not list((tmp_path / "kernels").iterdir())


def test_a_folder_that_others_can_write_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MMBEIT3_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "kernels"
    (tmp_path / "kernels").chmod(0o777)
    with pytest.raises(CompileError, match="other users can write to"):
        cache_folder()


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMBEIT3_HOME", str(tmp_path / "file"))
    with pytest.raises(CompileError, match="set MMBEIT3_HOME"):
        cache_folder()


def test_an_unknown_source():
    with pytest.raises(FileNotFoundError):
        load_library("no_such_kernel")
