"""The preset goes on after a part that fails, crashes or takes too long; every goal has an outcome in the report."""

import json
import sys
import time

import pytest

from benchmarks.cases import Unavailable
from benchmarks.preset import PARTS, run, run_preset
from benchmarks.preset.context import Context, Part
from benchmarks.preset.figures import Figure, figures_markdown
from benchmarks.preset.worker import run_part
from benchmarks.rows import Row
from benchmarks.settings import Settings

SETTINGS = Settings(threads=1).for_check()
GOAL = Figure("work", "ratio", None, "x", "≥", 2.0)

# A stand-in for the worker: one part crashes, one hangs, the others write a result.
WORKER = """
import json, os, pathlib, sys, time
task = json.loads(sys.argv[1])
folder = pathlib.Path(task["out"]) / "parts"
folder.mkdir(parents=True, exist_ok=True)
for name in task["parts"]:
    (folder / "running.json").write_text(json.dumps({"part": name, "since": time.time(), "seconds": 0.1}))
    if name == "tower-train":
        os.kill(os.getpid(), 11)
    if name == "compile":
        time.sleep(60)
    figure = dict(work=name, name="time", value=1.0, unit="s", relation="≤", goal=2.0, note="", reached=True)
    row = dict(case=name, contender="mmbeit3", dtype="bfloat16")
    result = dict(part=name, rows=[row], figures=[figure], seconds=1.0, note="")
    (folder / f"{name}.json").write_text(json.dumps(result))
"""


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(run, "worker_command", lambda task: [sys.executable, "-c", WORKER, json.dumps(task)])
    monkeypatch.setattr(run, "_GRACE", 0.4)


def test_goes_on_past_parts_that_crash_or_hang(stand_in, tmp_path, capfd):
    parts = ("attention-check", "tower-train", "compile", "imports")
    path = run_preset(SETTINGS, tmp_path, "the command", parts)
    found = {part["part"]: part for part in json.loads(path.read_text())["parts"]}
    assert list(found) == list(parts)
    assert found["tower-train"]["note"] == "the process was killed by signal 11"
    assert found["compile"]["note"].startswith("killed: no end")
    assert found["attention-check"]["rows"]
    assert found["imports"]["figures"][0]["reached"]
    # Every goal of a part that failed is in the table.
    table = (tmp_path / "table.md").read_text()
    assert table.count("the process was killed by signal 11") == len(PARTS["tower-train"].goals)
    assert "time: 1.00 s; ≤ 2.00 s: reached" in capfd.readouterr().out


def test_parts_for_which_no_time_is_left_are_reported(stand_in, tmp_path):
    path = run_preset(SETTINGS, tmp_path, "the command", ("imports", "mask-rcnn"), limit=0.0)
    content = json.loads(path.read_text())
    assert [part["note"] for part in content["parts"]] == ["not started: no time was left"] * 2
    assert all(figure["reached"] is None for part in content["parts"] for figure in part["figures"])


def part(run, seconds=5.0):
    return Part("some", [GOAL], seconds, run)


def outcome(run, seconds=5.0):
    return run_part(part(run), Context(SETTINGS), seconds)


def test_a_part_that_fails_keeps_what_it_had_and_says_why(capsys):
    def fails(context):
        yield [Row("case", "mmbeit3", "bfloat16")]
        raise RuntimeError("out of memory\nmore")

    result = outcome(fails)
    assert result["note"] == "failed: RuntimeError: out of memory"
    assert [row["case"] for row in result["rows"]] == ["case"]
    (figure,) = result["figures"]
    assert (figure["name"], figure["value"], figure["reached"]) == ("ratio", None, None)
    assert "ratio: not measured" in capsys.readouterr().out


def test_a_part_without_its_packages_says_what_it_needs():
    def missing(context):
        raise Unavailable("mmdet cannot be imported: pip install it")
        yield

    assert outcome(missing)["figures"][0]["note"] == "mmdet cannot be imported: pip install it"


def test_a_part_that_takes_too_long_is_stopped():
    def slow(context):
        yield Figure(**{**vars(GOAL), "value": 3.0})
        time.sleep(30)

    result = outcome(slow, 1.0)
    assert result["note"] == "stopped after 1 s"
    assert [figure["reached"] for figure in result["figures"]] == [True]


def test_figures():
    fast, slow = (Figure("work", "time", value, "ms", "≤", 5.0) for value in (4.0, 6.0))
    assert (fast.outcome, slow.outcome) == ("≤ 5.00 ms: reached", "≤ 5.00 ms: missed")
    assert str(Figure("work", "of peak", 0.314, "%", "≥", 0.45)) == "work, of peak: 31%; ≥ 45%: missed"
    assert Figure("work", "time", 3.0, "s").reached is None
    assert GOAL.reached is None
    lines = figures_markdown([fast, GOAL]).splitlines()
    assert lines[2] == "| work | time | 4.00 ms | ≤ 5.00 ms: reached |  |"
    assert lines[3] == "| work | ratio | not measured | ≥ 2.00x: not measured |  |"


@pytest.mark.parametrize("name", ["deform-attn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tower-forward",))])
def test_parts_run(name):
    result = run_part(PARTS[name], Context(SETTINGS), 300.0)
    assert not result["note"]
    assert not result["rows"] or any(row["median_ms"] for row in result["rows"])
    names = {figure["name"] for figure in result["figures"]}
    assert PARTS[name].many or {goal.name for goal in PARTS[name].goals} <= names


def test_the_command_knows_the_preset(run_tool):
    code, output = run_tool("benchmark", "gpu", "--device", "tpu")
    assert code == 2
    assert "tpu" in output.err
