"""A killed and continued run writes the same table as an uninterrupted one."""

import os
import signal
import subprocess
import sys
import time

import pytest

from mmbeit3.errors import UserError
from mmbeit3.evaluation.published import Job, Journal, run_jobs
from mmbeit3.evaluation.published.table import rows_to_markdown, score_rows
from tests.evaluation.published.made import OPTIONS, make_model, make_segmentors, read_lines, without_cost
from tests.paths import ROOT

TOOL = str(ROOT / "tools" / "evaluate.py")


def test_killed_and_resumed(call, tmp_path):
    data, index = make_segmentors(tmp_path, 2)

    def arguments(out):
        return ["--index", index, "--data-root", data, "--out", out, "--in-process", "--cfg-options", *OPTIONS]

    killed = subprocess.Popen(
        [sys.executable, TOOL, *map(str, arguments("killed"))], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    code, output = call("evaluate", *arguments("whole"))
    assert code == 0, output.err
    journal = tmp_path / "killed" / "results.jsonl"
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 1):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    before = read_lines(tmp_path / "killed")
    assert len(before) == 1
    # A kill while a line is written leaves a part of the line.
    with journal.open("a") as file:
        file.write('{"name": "seed-1", "sco')
    code, output = call("evaluate", *arguments("killed"))
    assert code == 0, output.err
    assert output.out.count("done before") == 1
    after = read_lines(tmp_path / "killed")
    assert after[:1] == before
    assert [line["name"] for line in after] == ["seed-0", "seed-1"]
    tables = [(tmp_path / out / "table.md").read_text() for out in ("whole", "killed")]
    assert without_cost(tables[0]) == without_cost(tables[1])
    # Different weights must give different scores; otherwise the tables would be equal in any case.
    assert len({line["scores"]["mIoU"] for line in after}) == 2


@pytest.fixture
def jobs(tmp_path):
    """Return four jobs for a fake evaluation; one of them fails."""
    entries = []
    for number in range(4):
        (tmp_path / f"{number}.pth").write_bytes(bytes([number]))
        (tmp_path / f"{number}.py").write_text(f"number = {number}\n")
        name = f"größe-{number}"
        entries.append(make_model(name, tmp_path / f"{number}.py", str(tmp_path / f"{number}.pth"), mIoU={"made": 40.0}))
    return [Job(entry) for entry in entries]


def make_up(job, weights, folder):
    """Return a result without an evaluation."""
    number = weights.read_bytes()[0]
    if number == 2:
        raise UserError("no\nluck")
    return {"scores": {"mIoU": 40.0 + number}, "seconds": time.monotonic()}


def run_in(folder, jobs):
    with Journal(folder / "results.jsonl") as journal:
        return run_jobs(jobs, journal, make_up, folder)


def test_cut_anywhere(tmp_path, jobs, monkeypatch):
    # fsync would run thousands of times.
    monkeypatch.setattr(os, "fsync", lambda file: None)
    jobs = jobs[1:3]
    table = rows_to_markdown(score_rows(run_in(tmp_path / "whole", jobs)))
    assert "| größe-1 | mIoU | 41.00 | 40.00 | made | +1.00 |" in table
    content = (tmp_path / "whole" / "results.jsonl").read_bytes()
    # All positions near the end of a line, and some of the others.
    for length in (n for n in range(len(content)) if n % 7 == 0 or b"\n" in content[max(n - 3, 0) : n + 3]):
        folder = tmp_path / "cut"
        folder.mkdir(exist_ok=True)
        (folder / "results.jsonl").write_bytes(content[:length])
        again = rows_to_markdown(score_rows(run_in(folder, jobs)))
        assert without_cost(again) == without_cost(table)
        # Failed jobs run again, finished ones do not.
        names = [line["name"] for line in read_lines(folder) if line["error"] is None]
        assert sorted(names) == sorted(set(names))


def test_what_changed_is_evaluated_again(tmp_path, jobs):
    run_in(tmp_path, jobs)
    first = len(read_lines(tmp_path))
    (tmp_path / "0.pth").write_bytes(bytes([7]))
    (tmp_path / "1.py").write_text("number = 11\n")
    records = run_in(tmp_path, jobs)
    assert [line["name"] for line in read_lines(tmp_path)[first:]] == ["größe-0", "größe-1", "größe-2"]
    assert records[0].scores == {"mIoU": 47.0}
    assert records[2].error == "no luck"


def test_other_data_or_seed_is_another_evaluation(tmp_path, jobs):
    run_in(tmp_path, jobs[:1])
    entry = jobs[0].entry
    others = [Job(entry, "there"), Job(entry, seed=1), Job(entry, split="val"), Job(entry, options={"number": 5})]
    run_in(tmp_path, [*others, Job(entry, corruption="fog", severity=2)])
    assert len(read_lines(tmp_path)) == 6
    run_in(tmp_path, [*others, jobs[0]])
    assert len(read_lines(tmp_path)) == 6


def test_any_exception_is_the_models_line(tmp_path, jobs):
    def broken(job, weights, folder):
        raise ZeroDivisionError("by\nnothing")

    with Journal(tmp_path / "results.jsonl") as journal:
        records = run_jobs(jobs[:2], journal, broken, tmp_path)
    assert [record.error for record in records] == ["ZeroDivisionError: by nothing"] * 2


def test_two_at_once(tmp_path):
    path = tmp_path / "results.jsonl"
    with Journal(path), pytest.raises(UserError, match="another process"), Journal(path):
        pass
    with Journal(tmp_path / "results.jsonl"):
        pass


def test_a_line_within_that_is_no_json(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"name": "a"}\nnonsense\n{"name": "b"}\n')
    with pytest.raises(UserError, match="line 2, is not a JSON object"), Journal(tmp_path / "results.jsonl"):
        pass
    # Nothing was lost by looking.
    assert (tmp_path / "results.jsonl").read_text().count("\n") == 3


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="use another --out"), Journal(tmp_path / "file" / "results.jsonl"):
        pass
