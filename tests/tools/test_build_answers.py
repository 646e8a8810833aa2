"""The command, as it is called."""

import json
import runpy
import sys

import pytest

from tests.datasets.made import write
from tests.paths import ROOT


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["build_answers", *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools" / "build_answers.py"), run_name="__main__")


def annotations(path, answers):
    return write(path, {"annotations": [{"multiple_choice_answer": answer} for answer in answers]})


def test_writes_the_list(tmp_path, monkeypatch, capsys):
    files = [annotations(tmp_path / "train.json", ["Two", "red"]), annotations(tmp_path / "val.json", ["2", "red", "x"])]
    call(monkeypatch, *files, "--min-count", 2, "--out", tmp_path / "answer2label.txt")
    assert "2 answers in" in capsys.readouterr().out
    lines = (tmp_path / "answer2label.txt").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"answer": "2", "label": 0}, {"answer": "red", "label": 1}]


def test_bad_input_ends_in_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, tmp_path / "none.json", "--out", tmp_path / "x.txt")
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: annotation file '")
    (tmp_path / "no").touch()
    with pytest.raises(SystemExit):
        call(monkeypatch, annotations(tmp_path / "a.json", ["x"] * 9), "--out", tmp_path / "no" / "x.txt")
    assert "cannot be written" in capsys.readouterr().err
    train = annotations(tmp_path / "a.json", ["x"] * 9)
    before = train.read_bytes()
    with pytest.raises(SystemExit):
        call(monkeypatch, train, "--out", train)
    assert "is the input file and would be overwritten" in capsys.readouterr().err
    assert train.read_bytes() == before
