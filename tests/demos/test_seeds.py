import json

import pytest

from mmbeit3.demos import seeds, training
from mmbeit3.demos.seeds import Contender, table_of_seeds, train_seeds
from mmbeit3.errors import UserError


def test_table():
    results = {"a": [{"mIoU": 10.0}, {"mIoU": 14.0}], "b": [{"mIoU": 3.0, "minutes": 2.0}]}
    assert table_of_seeds(results) == (
        "| config | mIoU | minutes |\n"
        "|---|---|---|\n"
        "| a | 12.0 ± 2.8 (10.0, 14.0) |  |\n"
        "| b | 3.0 | 2.0 |\n"
    )  # fmt: skip


def test_trainings_are_continued_and_not_repeated(tmp_path, monkeypatch):
    calls = []

    def fake_training(config, work_dir, title, options, resume):
        calls.append((config, work_dir.name, options, resume))
        log = work_dir / "1" / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps({"mIoU": 40.0 + options["randomness.seed"], "step": 1}))
        return work_dir

    monkeypatch.setattr(training, "train_config", fake_training)
    contenders = [Contender("a", "a.py"), Contender("b", "b.py", {"x": 1})]
    results = train_seeds(contenders, [0], tmp_path)
    assert calls == [("a.py", "a-0", {"randomness.seed": 0}, True), ("b.py", "b-0", {"randomness.seed": 0, "x": 1}, True)]
    assert [scores["mIoU"] for scores in results["b"]] == [40.0]
    results = train_seeds(contenders, [0, 1], tmp_path)
    assert [call[1] for call in calls[2:]] == ["a-1", "b-1"]
    assert [scores["mIoU"] for scores in results["a"]] == [40.0, 41.0]
    assert "| a | 40.5 ± 0.7 (40.0, 41.0) |" in table_of_seeds(results)


def test_training_without_scores(tmp_path, monkeypatch):
    def no_scores(config, work_dir, *args, **options):
        log = work_dir / "1" / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        log.write_text('{"loss": 1.0, "step": 1}')
        return work_dir

    monkeypatch.setattr(training, "train_config", no_scores)
    with pytest.raises(UserError, match="logged no scores"):
        seeds.train_seeds([Contender("a", "a.py")], [0], tmp_path)
    assert not (tmp_path / "a-0" / "percent.json").exists()
