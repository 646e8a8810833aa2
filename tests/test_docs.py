"""Links of README and the docs lead somewhere, and their commands and code blocks work."""

import re

import pytest
from mmengine.config import Config

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def done():
    """Return the set of commands that were already run. A command on several pages runs once."""
    return set()


@pytest.fixture
def _inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    # MMEngine formats the whole config as text eight times in a run, which would take most of the time here.
    monkeypatch.setattr(Config, "pretty_text", property(lambda self: repr(self)))


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
