"""The benchmark command with --quick: everything runs and is written; no duration is checked."""

import json

import cv2
import pytest
import torch


@pytest.fixture
def call(monkeypatch, run_tool, tmp_path):
    """Call the tool; return its exit status and its output."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()

    yield lambda *arguments: run_tool("benchmark", *arguments)
    torch.set_num_threads(threads)


def run_quickly(call, folder, suite, *arguments):
    code, output = call(suite, "--quick", "--threads", "1", "--sides", "64", *arguments)
    assert code == 0, output.err
    out = folder / "work_dirs" / "benchmark" / suite
    assert cv2.imread(str(out / "plot.png")) is not None
    table = (out / "table.md").read_text()
    assert "the numbers mean nothing" in table
    results = json.loads((out / "results.json").read_text())
    assert results["settings"]["quick"]
    assert results["machine"]["torch"]
    for row in results["rows"]:
        assert row["contender"] in output.out
        assert row["case"] in table
        assert row["note"] or row["median_ms"] or row["memory_mb"], row
    return results


def test_ops(call, tmp_path):
    results = run_quickly(call, tmp_path, "ops", "--dtype", "float32", "bfloat16")
    found = {(row["contender"], row["dtype"]) for row in results["rows"] if row["median_ms"]}
    assert {("mmbeit3 reference", "float32"), ("mmcv, PyTorch", "float32"), ("mmbeit3 reference", "bfloat16")} <= found
    assert any(row["case"].startswith("Mask2Former") for row in results["rows"])
    assert all(row["floor_ms"] for row in results["rows"] if row["case"].startswith("injector"))


def test_backbone(call, tmp_path):
    results = run_quickly(call, tmp_path, "backbone")
    timed = {(row["case"].split()[0], row["contender"]): row for row in results["rows"] if row["median_ms"]}
    assert {("tower", "mmbeit3"), ("tower", "timm"), ("ViT-Adapter", "mmbeit3"), ("image", "mmbeit3")} <= set(timed)
    assert timed["tower", "timm"]["gflop"] == timed["tower", "mmbeit3"]["gflop"] > 0
    others = [row for row in results["rows"] if row["contender"] == "torchscale"]
    assert all(row["median_ms"] or "pip install" in row["note"] for row in others)
    assert results["peaks"]["float32"] > 0


@pytest.mark.slow
def test_train_step(call, tmp_path):
    results = run_quickly(call, tmp_path, "train-step")
    ours = [row for row in results["rows"] if row["contender"] == "mmbeit3"]
    assert len(ours) == 2
    assert all(row["memory_mb"] > 0 and row["median_ms"] > 0 for row in ours)


@pytest.mark.slow
def test_pretrain_step(call, tmp_path):
    results = run_quickly(call, tmp_path, "pretrain-step")
    assert [row["contender"] for row in results["rows"]][:2] == ["mmbeit3 (one pass)", "mmbeit3 (three passes)"]
    assert all(row["median_ms"] > 0 for row in results["rows"][:2])


@pytest.mark.slow
def test_caption(call, tmp_path):
    results = run_quickly(call, tmp_path, "caption")
    assert len(results["rows"]) == 4
    assert all(row["median_ms"] > 0 for row in results["rows"])


@pytest.mark.slow
def test_memory(call, tmp_path):
    results = run_quickly(call, tmp_path, "memory")
    assert len(results["rows"]) == 3
    assert all(row["memory_ratio"] > 0 for row in results["rows"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("backbone", "--sides", "100"), "a side of 100 pixels"),
        (("backbone", "--threads", "0"), "0 threads"),
        (("ops", "--device", "nowhere"), "device 'nowhere'"),
    ],
)
def test_wrong_arguments(call, arguments, message):
    code, output = call(*arguments)
    assert code == 2
    assert output.err.startswith("error: ")
    assert message in output.err
    assert output.err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(call):
    code, output = call("ops", "--device", "cuda")
    assert code == 2
    assert "finds no GPU" in output.err
