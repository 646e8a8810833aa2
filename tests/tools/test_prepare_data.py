"""tools/prepare_data.py as a command."""

import subprocess
import sys

from tests.datasets.folders import coco_folder
from tests.paths import ROOT
from tests.tools.calls import refused


def test_check_prints_the_next_command(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coco_folder(tmp_path / "cells")
    code, output = run_tool("prepare_data", "--check", "cells")
    assert code == 0, output.err
    *_, sheet, advice = output.out.splitlines()
    assert sheet == "contact sheet of 6 images: work_dirs/check_cells.png"
    assert (tmp_path / "work_dirs" / "check_cells.png").is_file()
    assert advice == "next: python tools/train.py configs/mine/detection.py --cfg-options recipe.data=cells"


def test_faults_end_in_status_2(run_tool, tmp_path):
    root = coco_folder(tmp_path)
    for number in (0, 4):
        (root / "images" / f"{number}.jpg").write_bytes(b"")
    code, output = run_tool("prepare_data", "--check", str(root), "--images", "0")
    refused((code, output.err), "has 2 faults")
    assert [line.split(":")[:2] for line in output.out.splitlines() if line.startswith("fault")] == [
        ["fault", " train"],
        ["fault", " val"],
    ]


def test_split_then_check(run_tool, tmp_path):
    root = coco_folder(tmp_path, unsplit=True)
    code, output = run_tool("prepare_data", "--split", str(root), "--val-share", "0.5")
    assert code == 0, output.err
    assert output.out.splitlines() == [
        f"{root}/train.json: 3 images",
        f"{root}/val.json: 3 images",
        f"next: python tools/prepare_data.py --check {root}",
    ]


def test_bad_folders(call, tmp_path):
    refused(call("prepare_data", "--check", str(tmp_path / "none")), "does not exist")
    refused(call("prepare_data", "--check", str(tmp_path)), "has no images and no annotations")


def test_a_copy_of_a_public_data_set(run_tool, tmp_path):
    root = coco_folder(tmp_path / "coco")
    code, output = run_tool("prepare_data", "--check", str(root), "--as", "coco")
    refused((code, output.err), "has 4 faults")
    assert f"fault: '{root}/annotations/instances_train2017.json' does not exist, which configs/coco/" in output.out
    # Without --as it is a folder like any other, because nothing of COCO is in it.
    code, output = run_tool("prepare_data", "--check", str(root), "--images", "0")
    assert (code, "COCO 2017" in output.out) == (0, False)
    code, output = run_tool("prepare_data", "--split", str(root), "--as", "coco")
    assert code == 2
    assert "argument --as: needs --check" in output.err


def test_help_imports_nothing_slow():
    code = (
        "import runpy, sys\n"
        "sys.argv = ['prepare_data.py', '--help']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'tools' / 'prepare_data.py')!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    print(sorted({'torch', 'mmengine', 'cv2', 'numpy', 'rich'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
