"""Links of README and the docs lead somewhere, and their commands and code blocks work."""

import re

import pytest
from mmengine.config import Config

from mmbeit3.runner.config import read_config
from tests.docs.blocks import PAGES, read_blocks
from tests.docs.data import lay_out
from tests.docs.how import COMMANDS, PARTS, try_command, try_python
from tests.docs.shell import accept
from tests.paths import ROOT

LINK = re.compile(r"\]\(([^)#\s]+)")
BLOCKS = {page: read_blocks(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert links
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (ROOT / page).parent.joinpath(link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_commands_are_marked(page):
    """The site and code hosts colour them only then."""
    assert not [block.line for block in BLOCKS[page] if block.kind == "command" and not block.language]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def done():
    """Return the set of commands that were already run. A command on several pages runs once."""
    return set()


def _as_python(cfg):
    return "".join(f"{key} = {value!r}\n" for key, value in cfg.to_dict().items())


@pytest.fixture
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    # MMEngine formats the whole config as text eight times in a run, which would take most of the time here.
    monkeypatch.setattr(Config, "pretty_text", property(_as_python))


@pytest.mark.slow
@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if any(b.kind != "inline" for b in blocks)])
def test_blocks_run(page, done):
    for block in BLOCKS[page]:
        try:
            if block.kind == "command" and block.text not in done:
                try_command(block.text)
                done.add(block.text)
            elif block.kind == "python":
                try_python(block.text, block.file)
        except Exception as error:
            raise AssertionError(f"{page}:{block.line}: {block.text.splitlines()[0]}") from error


@pytest.mark.usefixtures("_inside")
@pytest.mark.parametrize("page", [page for page, blocks in BLOCKS.items() if any(b.kind == "inline" for b in blocks)])
def test_commands_in_sentences_are_accepted(page):
    for block in BLOCKS[page]:
        # Words in capitals and dots are placeholders.
        if block.kind == "inline" and not re.search(r"\b[A-Z]{3,}\b|…|\.\.\.|<", block.text):
            accept(block.text)


def test_nothing_in_the_tables_is_left_over():
    commands = [block.text for blocks in BLOCKS.values() for block in blocks if block.kind == "command"]
    code = [block.text for blocks in BLOCKS.values() for block in blocks if block.kind == "python"]
    used = {next((pattern for pattern, _ in COMMANDS if re.match(pattern, command)), None) for command in commands}
    assert used == {pattern for pattern, _ in COMMANDS}
    assert all(any(part in text for text in code) for part, _ in PARTS)


@pytest.mark.slow
def test_schedules_and_batch_sizes_in_the_table_of_costs_are_those_of_the_configs():
    table = (ROOT / "docs" / "configs.md").read_text().split("## Memory and time")[1].split("\n## ")[0]
    rows = {row[1]: row for row in re.finditer(r"^\| `(\S+)` \| ([\d,]+) (\w+) \| (?:(\d+)(?: x (\d+))?)?", table, re.M)}
    assert len(rows) == table.count("\n| `")
    paths = [path for path in (ROOT / "configs").glob("[!_]*/*.py") if path.parent.name != "mine"]  # own-data.md has these
    configs = {path.relative_to(ROOT / "configs"): path for path in paths}
    for name, path in configs.items():
        (row,) = [row for glob, row in rows.items() if name.match(f"{glob}.py")]
        cfg = read_config(path)
        unit = "epochs" if "max_epochs" in cfg.train_cfg else "iterations"
        length = cfg.train_cfg.max_epochs if unit == "epochs" else cfg.train_cfg.max_iters
        assert (f"{length:,}", unit) == (row[2], "epochs" if row[3] == "epoch" else row[3]), name
        # Streams of pretraining have batches of their own; the overfit configs run on one device.
        if name.parts[0] not in ("pretrain", "overfit"):
            batch = cfg.train_dataloader.batch_size
            devices = cfg.get("auto_scale_lr", {}).get("base_batch_size", batch) // batch
            assert (row[4], row[5]) == (str(devices), str(batch)), name
    assert all(any(name.match(f"{glob}.py") for name in configs) for glob in rows)
