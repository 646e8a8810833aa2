"""Reasons why Triton's kernels cannot run."""

import runpy
import shutil
import sys

import torch

from mmbeit3.ops import triton_tools

CUDA = torch.device("cuda")


def test_other_devices():
    assert "not on cpu" in triton_tools.unavailable(torch.device("cpu"))
    assert triton_tools.num_multiprocessors(torch.device("cpu")) == 1


def test_without_a_compiler(monkeypatch):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    fresh = runpy.run_path(triton_tools.__file__)
    assert "C compiler" in fresh["unavailable"](CUDA)
    monkeypatch.setenv("CC", "/opt/cc")
    monkeypatch.setattr(shutil, "which", {"/opt/cc": "/opt/cc"}.get)
    reason = runpy.run_path(triton_tools.__file__)["unavailable"](CUDA)
    assert reason is None or "Python.h" in reason


def test_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    assert runpy.run_path(triton_tools.__file__)["unavailable"](CUDA) == "triton is not installed"
