"""tools/download.py as a command."""

import pytest

from tests.downloads.conftest import home, server  # noqa: F401
from tests.downloads.server import Served
from tests.downloads.test_faults import saved
from tests.zoo.made import make_index, spm


@pytest.fixture
def call(monkeypatch, run_tool, server, home, tmp_path):  # noqa: F811
    """Call the tool with an index of two files; returns its exit status and what it wrote."""
    root = make_index(tmp_path / "index", server.address)
    monkeypatch.setattr("mmbeit3.zoo.index.path_of", lambda name: root / name)
    server.files = {"/full.pth": Served(saved(0)[0]), "/words.spm": Served(spm())}
    monkeypatch.chdir(tmp_path)

    return lambda *arguments: run_tool("download", *arguments)


def test_downloads_and_lists(call, home, tmp_path, server):  # noqa: F811
    code, output = call("--list")
    assert code == 0
    rows = {line.split()[0]: line for line in output.out.splitlines() if line.strip()}
    assert {"full", "vision", "words.spm", "captions.json"} <= rows.keys()
    assert "own" not in rows
    assert "yes" not in rows["full"]

    code, output = call("full", "full")
    assert (code, output.err) == (0, "")
    assert output.out == f"full: {home}/downloads/127.0.0.1_{server.server_port}/full.pth\n"
    _, output = call("--list")
    assert "yes" in next(line for line in output.out.splitlines() if line.split()[:1] == ["full"])


def test_a_task_with_its_needs(call, tmp_path, server):  # noqa: F811
    server.files["/captions.json"] = Served(b"{}")
    code, output = call("--all-for", "x", "--to", "checkpoints")
    assert (code, output.err) == (0, "")
    assert output.out.splitlines() == [
        "words.spm: checkpoints/words.spm",
        "full: checkpoints/full.pth",
        "captions.json: checkpoints/captions.json",
    ]
    assert (tmp_path / "checkpoints" / "full.pth").read_bytes() == saved(0)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to download: give names"),
        (("ful",), "the zoo has no 'ful': did you mean full?"),
        (("full", "../x"), "the zoo has no '../x'"),
        (("own",), "'own' has no published weights"),
        (("--all-for", "y"), "the zoo has no task 'y': choose one of x"),
        (("captions.json",), "127.0.0.1: status 404"),
        (("words.spm", "--to", "index/model-index.yml"), "cannot be written"),
    ],
)
def test_wrong_arguments(call, arguments, message, server):  # noqa: F811
    code, output = call(*arguments)
    assert code == 2
    assert output.err.startswith("error: ")
    assert message in output.err
    assert output.err.count("\n") == 1
    assert server.requests.total() <= 1


def test_markdown(call):
    code, output = call("--list", "--markdown")
    assert code == 0
    assert "### x" in output.out
