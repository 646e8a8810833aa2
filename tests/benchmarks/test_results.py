import io

import cv2
import pytest
from rich.console import Console

from benchmarks.plot import draw_benchmark
from benchmarks.results import Report, benchmark_markdown, print_table
from benchmarks.rows import Row
from benchmarks.settings import Settings
from benchmarks.timing import Timing
from mmbeit3.errors import UserError


@pytest.fixture
def rows():
    ours, peer, missing = (Row("tower 64²", name, "float32") for name in ("mmbeit3", "timm", "torchscale"))
    ours.add_timing(Timing([0.2, 0.1, 0.3]), Timing([0.2]), 4_000_000_000, 100.0)
    peer.add_timing(Timing([0.5]), Timing([0.2]), 4_000_000_000, 100.0)
    missing.note = "torchscale is not here: pip install | it"
    return [ours, peer, missing]


def test_numbers_of_a_row(rows):
    ours, peer, _ = rows
    assert (ours.median_ms, ours.rounds, ours.ratio, ours.gflop) == (200.0, 3, 1.0, 4.0)
    assert ours.peak_fraction == pytest.approx(4 / 0.2 / 100)
    assert peer.ratio == 2.5


def test_markdown(rows):
    lines = benchmark_markdown(rows).splitlines()
    assert lines[0] == "| case | contender | dtype | median ms | quartiles | rounds | ratio | GFLOP | of peak | note |"
    assert lines[2].startswith("| tower 64² | mmbeit3 | float32 | 200 | 150 to 250 | 3 | 1.00x | 4.00 | 20% |")
    assert lines[3].startswith("|  | timm | float32 | 500 |")
    assert lines[4].endswith("| torchscale is not here: pip install / it |")
    assert len({line.count("|") for line in lines}) == 1


def test_markdown_leaves_out_notes_of_nobody(rows):
    assert benchmark_markdown(rows[:2]).splitlines()[0].endswith("| of peak |")


def test_table_in_the_terminal(rows):
    out = io.StringIO()
    print_table(rows, Console(file=out, width=80))
    text = out.getvalue()
    assert "tower 64², float32" in text
    assert "2.50x" in text
    assert "torchscale: torchscale is not here" in text


def test_written_and_read_again(rows, tmp_path):
    report = Report("backbone", "the command", Settings().to_dict(), {"CPU": "some"}, {"float32": 100.0}, rows)
    report.write(tmp_path / "new")
    assert Report.read(tmp_path / "new" / "results.json").rows == rows
    text = (tmp_path / "new" / "table.md").read_text()
    assert "`the command`" in text
    assert "CPU some" in text
    assert "matrix peak in float32 100 GFLOP/s" in text


def test_plot(rows, tmp_path):
    rows[0].memory_mb = 12.0
    draw_benchmark(rows, "title", tmp_path / "plot.png")
    assert cv2.imread(str(tmp_path / "plot.png")).shape[0] > 50
    draw_benchmark([], "nothing", tmp_path / "empty.png")
    assert (tmp_path / "empty.png").exists()


def test_settings_survive_json_and_are_checked():
    settings = Settings(sides=(64, 96), dtypes=("bfloat16",))
    assert (
        Settings.from_dict({name: list(v) if isinstance(v, tuple) else v for name, v in settings.to_dict().items()}) == settings
    )
    for wrong, message in (
        (Settings(sides=(100,)), "100 pixels"),
        (Settings(dtypes=("int8",)), "int8"),
        (Settings(threads=0), "threads"),
        (Settings(budget=0), "budget"),
        (Settings(device="tpu"), "'tpu'"),
        (Settings(device="meta"), "'meta'"),
    ):
        with pytest.raises(UserError, match=message):
            wrong.checked()
