from tests.paths import ROOT


def test_missing_weights_are_named_before_anything_is_made(tmp_path, monkeypatch, run_tool):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    code, output = run_tool("demo_tasks", "--tasks", "vqa")
    assert code == 2
    assert output.err.startswith("error: pretrained weights 'work_dirs/pretrain-demo/pretraining/iter_1800.pth' do not exist")
    assert "make pretrain-demo" in output.err
    assert output.err.count("\n") == 1
    assert not (tmp_path / "data").exists()
