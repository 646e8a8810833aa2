"""The command: a table and JSON, and one line for what cannot be planned."""

import json
import runpy
import sys

import pytest

from tests.paths import ROOT

TINY = str(ROOT / "configs" / "pretrain" / "beit3-tiny_mdm_shapes.py")


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the tool; returns its exit status and what it wrote."""

    def calling(*arguments):
        monkeypatch.setattr(sys, "argv", ["tools/plan_pretraining.py", *map(str, arguments)])
        capsys.readouterr()
        try:
            runpy.run_path(str(ROOT / "tools" / "plan_pretraining.py"), run_name="__main__")
        except SystemExit as end:
            return end.code or 0, capsys.readouterr()
        return 0, capsys.readouterr()

    return calling


def test_plans_without_data(call, tmp_path):
    code, output = call(
        TINY, "--gpus", 4, "--global-batch", 8, "--text-length", 16, "--json", tmp_path / "plan.json", "--measure", "cpu",
        "--cfg-options", "model.network.arch.num_layers=1",
    )  # fmt: skip
    assert code == 0, output.err
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["batches"] == {"images": 2, "texts": 2, "pairs": 2}
    assert [row["name"] for row in plan["memory"]] == ["DDP", "DDP, with_cp", "FSDP", "FSDP, with_cp"]
    assert "GiB on each of 4 GPUs, 2 images + 2 texts + 2 pairs" in output.out
    assert output.out.count("one process on cpu") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.py",), "config 'none.py' does not exist"),
        ((ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py",), "not a pretraining config"),
        ((TINY, "--gpus", 0, "--global-batch", 8), "0 GPUs: give at least one"),
        ((TINY, "--gpus", 3, "--global-batch", 8), "give a multiple of 3"),
        ((TINY, "--text-length", 100), "texts of 100 tokens do not fit: the network takes 3 to 62"),
    ],
)
def test_what_cannot_be_planned_ends_in_one_line(call, arguments, message):
    code, output = call(*arguments)
    assert code == 2
    last = output.err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
