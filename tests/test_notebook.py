"""The notebook of the docs runs from the first to the last cell, with small sizes."""

import ast
import json
import re
from pathlib import Path

import pytest

from tests.docs import shell
from tests.paths import ROOT

NOTEBOOK = ROOT / "docs" / "first_hour.ipynb"
MAGIC = re.compile(r"^( *)[!%](.*)$", re.M)
SIZES = {"TRAIN_IMAGES": 4, "VAL_IMAGES": 2, "EPOCHS": 1}


@pytest.fixture(scope="module")
def cells():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def read_code(cell):
    """Return the code of a cell, in which ``!command`` and ``%command`` are calls of ``_command``."""
    return MAGIC.sub(r'\1_command(f"""\2""")', "".join(cell["source"]))


def test_no_outputs_are_stored(cells):
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_links_lead_somewhere(cells):
    links = re.findall(r"\]\(([^)#:]+)\)", "".join(line for cell in cells for line in cell["source"]))
    assert links
    assert all((NOTEBOOK.parent / link).exists() for link in links)


def test_first_cell_installs_where_mmbeit3_is_missing(cells):
    """The commands are in a block that is skipped if mmbeit3 can be imported."""
    tree = ast.parse(read_code(next(cell for cell in cells if cell["cell_type"] == "code")))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    assert "find_spec('mmbeit3') is None" in ast.unparse(block.test)
    commands = [ast.unparse(node) for node in block.body if "_command" in ast.unparse(node)]
    assert [re.search(r"(git clone|cd|pip install)", command)[1] for command in commands] == ["git clone", "cd", "pip install"]


@pytest.mark.slow
def test_runs(cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in SIZES.items():
        monkeypatch.setenv(f"FIRST_HOUR_{name}", str(value))
    ran = []

    def command(line):
        ran.append(line.split()[1])
        # Processes of data loaders would take most of the time.
        line = line.replace(str(ROOT / "tools"), "tools")
        shell.run(line + " train_dataloader.num_workers=0 train_dataloader.persistent_workers=False" * ("train.py" in line))

    (tmp_path / "first_hour").mkdir()
    (tmp_path / "first_hour" / "tools").symlink_to(ROOT / "tools")
    namespace = {"_command": command}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(read_code(cell), namespace)
    assert [Path(tool).stem for tool in ran] == ["make_shapes_dataset", "train", "predict"]
    assert len(namespace["results"]) == SIZES["VAL_IMAGES"]
    assert namespace["tiled"].size == (512, 512)
    assert json.loads(Path("predictions.json").read_text()) == namespace["rows"]
    assert len(json.loads(Path("predictions/predictions.json").read_text())["images"]) == SIZES["VAL_IMAGES"]
