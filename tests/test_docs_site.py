"""The documentation site is built without a warning, and has what it should."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.docs.blocks import PAGES
from tests.paths import ROOT

pytest.importorskip("sphinx", reason="needs pip install 'mmbeit3[docs]'")
pytest.importorskip("myst_parser", reason="needs pip install 'mmbeit3[docs]'")
pytest.importorskip("furo", reason="needs pip install 'mmbeit3[docs]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages, built as ``make docs`` builds them, but elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    command = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "-m sphinx" in line)
    options = command.split("-m sphinx ")[1].split()[:-2]
    build = [sys.executable, "-m", "sphinx", *options, "docs", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "-W" in options
    return folder


def read(site, page):
    return (site / f"{page}.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_page_is_reached_from_the_first(site):
    first = read(site, "index")
    pages = [page.removeprefix("docs/").removesuffix(".md") for page in PAGES if page.startswith("docs/")]
    missing = [page for page in pages if page != "index" and f'href="{page}.html"' not in first]
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("models", "mmbeit3.models.backbones.ViTAdapter"),
        ("models", "mmbeit3.models.beit3.BEiT3.forward"),
        ("ops", "mmbeit3.ops.ms_deform_attn"),
        ("checkpoint", "mmbeit3.checkpoint.load_checkpoint"),
        ("pretrain", "mmbeit3.pretrain.MaskedDataModeling"),
        ("tasks", "mmbeit3.tasks.vqa.BEiT3VQA"),
        ("datasets", "mmbeit3.datasets.vqa.VQAv2"),
        ("evaluation", "mmbeit3.evaluation.CaptionScores"),
        ("engine", "mmbeit3.engine.hooks.SafeCheckpointHook"),
        ("inference", "mmbeit3.inference.VQAInferencer"),
        ("inference", "mmbeit3.inference.load_model"),
        ("inference", "mmbeit3.inference.predictor.Predictor.predict"),
        ("inference", "mmbeit3.inference.results.Objects.full_masks"),
    ],
)
def test_reference_has_it(site, page, name):
    assert f'id="{name}"' in read(site, f"api/{page}")


@pytest.mark.slow
def test_index_of_the_reference_lists_each_module(site):
    index = read(site, "api/index")
    described = [path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.rst")]
    modules = {name for text in described for name in re.findall(r"automodule:: (\S+)", text)}
    assert len(modules) > 80
    missing = [name for name in sorted(modules) if f"#module-{name}" not in index]
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("own data", "own-data"),
        ("num_classes", "own-data"),
        ("gpu", "prediction"),
        ("video", "prediction"),
        ("batch size", "configs"),
        ("out of memory", "performance"),
        ("tensorboard", "training"),
        ("ema", "training"),
    ],
)
def test_search_lists_the_page_first(site, words, page):
    if not (ROOT / "docs" / f"{page}.md").exists():
        pytest.skip(f"{page}.md does not exist")
    index = json.loads((site / "searchindex.js").read_text(encoding="utf-8").removeprefix("Search.setIndex(").rstrip(")"))
    main = [index["docnames"][number] for number, _, is_main in index["indexentries"][words] if is_main]
    assert page in main


@pytest.mark.slow
def test_commands_have_colours(site):
    page = read(site, "getting-started")
    assert '<span class="nf">python</span>' in page
    assert '<span class="na">--resume</span>' in page
    assert "_static/site.js" in page


@pytest.mark.slow
def test_docstrings_are_understood(site):
    page = read(site, "api/models")
    described = page[page.index('id="mmbeit3.models.backbones.ViTAdapter"') :]
    assert re.search(r"Parameters.*?interaction_indexes.*?Raises.*?ValueError", described[:20000], re.DOTALL)
    assert "Args:" not in page
    assert ":class:" not in page


def test_drawing_is_well_formed():
    drawing = ElementTree.parse(ROOT / "docs" / "architecture.svg").getroot()
    words = " ".join(drawing.itertext())
    assert all(word in words for word in ("vision tower", "language tower", "attention", "injector", "extractor"))
