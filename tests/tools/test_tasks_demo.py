import runpy
import sys

import pytest

from tests.paths import ROOT


def test_missing_weights_are_named_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.setattr(sys, "argv", ["tasks_demo", "--tasks", "vqa"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools" / "tasks_demo.py"), run_name="__main__")
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: pretrained weights 'work_dirs/pretrain-demo/pretraining/iter_2000.pth' do not exist")
    assert "make pretrain-demo" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()
