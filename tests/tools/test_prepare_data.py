"""tools/prepare_data.py as a command."""

import subprocess
import sys

import pytest

from tests.datasets.folders import coco_folder
from tests.datasets.prepared.made import camvid, voc, write_folder
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


def test_commands_are_quoted(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    coco_folder(tmp_path / "my cells", unsplit=True)
    write_folder(tmp_path / "copy", voc())
    split = ("--split", "my cells/all.json")
    for arguments, step in (
        (("--check", "my cells", "--images", "0"), "prepare_data.py --split 'my cells'"),
        (split, "prepare_data.py --check 'my cells'"),
        (("--check", "my cells", "--images", "0"), "train.py configs/mine/detection.py --cfg-options recipe.data='my cells'"),
        (
            ("bccd", "--from", "copy", "--out", "my data"),
            "train.py configs/mine/detection.py --cfg-options recipe.data='my data'",
        ),
    ):
        code, output = run_tool("prepare_data", *arguments)
        assert code == 0, output.err
        assert output.out.splitlines()[-1] == f"next: python tools/{step}"


def test_bad_folders(call, tmp_path):
    refused(call("prepare_data", "--check", str(tmp_path / "none")), "does not exist")
    refused(call("prepare_data", "--check", str(tmp_path)), "has no images and no annotations")


def test_known_dataset_from_a_copy(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "copy", voc())
    code, output = run_tool("prepare_data", "bccd", "--from", "copy")
    assert code == 0, output.err
    first, second, *_, complete, source, licence, advice = output.out.splitlines()
    assert (first, second) == ("converting 'copy' to 'data/bccd'", "checking 'data/bccd'")
    assert complete == "data/bccd: complete, 3 images in train, 2 images in val"
    assert source == f"source: {tmp_path / 'copy'}"
    assert licence.startswith("licence: MIT (")
    assert advice == "next: python tools/train.py configs/mine/detection.py --cfg-options recipe.data=data/bccd"
    code, output = run_tool("prepare_data", "bccd")
    assert code == 0, output.err
    assert output.out.splitlines() == [f"{complete}; nothing was written", source, licence, advice]


def test_list_of_known_datasets(run_tool):
    code, output = run_tool("prepare_data", "--list")
    assert code == 0, output.err
    assert [line.partition(":")[0] for line in output.out.splitlines()] == ["bccd", "nuclei", "camvid"]
    assert "CC-BY-NC-4.0 (personal and research use only)" in output.out.splitlines()[2]


def test_refused_known_datasets(call, tmp_path):
    refused(call("prepare_data", "nucleus"), "did you mean nuclei")
    refused(call("prepare_data", "bccd", "--from", str(tmp_path / "none"), "--out", str(tmp_path / "out")), "does not exist")
    write_folder(tmp_path / "copy", camvid())
    refused(
        call("prepare_data", "bccd", "--from", str(tmp_path / "copy"), "--out", str(tmp_path / "out")), "is not a copy of bccd"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bccd", "--check", "x"), "argument --check: not allowed with argument NAME"),
        (("bccd", "--split", "x"), "argument --split: not allowed with argument NAME"),
        (("bccd", "--list"), "argument --list: not allowed with argument NAME"),
        (("--check", "x", "--from", "y"), "argument --from: needs NAME"),
        ((), "one of the arguments NAME --list --check --split is required"),
    ],
)
def test_conflicting_arguments(call, arguments, message):
    code, err = call("prepare_data", *arguments)
    assert code == 2
    assert message in err.splitlines()[-1]


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
