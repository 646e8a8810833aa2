"""What is in the wheel and the source distribution, and what building and editable installation leave behind."""

import tarfile
import zipfile
from email.parser import Parser
from pathlib import PurePosixPath

import mmbeit3
from tests.packaging.environments import make_environment
from tests.paths import ROOT

RESOURCES = ("configs", "tools")
# It needs the folder benchmarks, which no distribution contains.
CLONE_ONLY = "tools/benchmark.py"


def files(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".mim" not in path.parts
    } - {CLONE_ONLY}


def test_wheel_holds_package_and_resources(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        assert {f"mmbeit3/.mim/{name}" for folder in RESOURCES for name in files(folder)} <= held
        assert files("mmbeit3") <= held
        assert {
            "mmbeit3/py.typed",
            "mmbeit3/ops/csrc/deform_attn.c",
            "mmbeit3/.mim/model-index.yml",
            "mmbeit3/.mim/dataset-index.yml",
        } <= held
        assert f"mmbeit3/.mim/{CLONE_ONLY}" not in held
        # One package and its metadata: nothing like "tests" or "docs" gets among the user's other packages.
        assert {PurePosixPath(name).parts[0] for name in held} == {"mmbeit3", f"mmbeit3-{mmbeit3.__version__}.dist-info"}
        assert not [name for name in held if name.endswith((".pyc", ".orig", "~"))]
        for name in files("configs"):
            assert archive.read(f"mmbeit3/.mim/{name}") == (ROOT / name).read_bytes()


def test_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"mmbeit3-{mmbeit3.__version__}.dist-info/METADATA").decode())
    assert metadata["Version"] == mmbeit3.__version__
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    # Forks and originals of OpenMMLab share import names: neither may come unasked.
    always = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert not [line for line in always if line.startswith(("mm", "onedl"))]


def test_source_distribution_has_what_the_wheel_needs_and_no_tests(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for folder in (*RESOURCES, "mmbeit3") for name in files(folder)} <= held
    assert {"setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "model-index.yml", "dataset-index.yml"} <= held
    assert not [name for name in held if name.startswith(("tests", "docs", "benchmarks", "work_dirs", "data/", CLONE_ONLY))]


def test_editable_installation_reads_the_checkout_and_leaves_nothing_in_it(built, wheel, tmp_path):
    """``pip install -e .``: the configs edited are those used, and git sees nothing new."""
    checkout = built / "checkout"
    before = set(checkout.rglob("*"))
    editable = make_environment(tmp_path / "editable", wheel, "det", editable=checkout)
    new = {path.relative_to(checkout).parts[0] for path in set(checkout.rglob("*")) - before}
    assert new <= {"mmbeit3.egg-info", "build"}
    code = """
import mmbeit3
from mmbeit3.runner.config import read_config
config = read_config("mmbeit3::coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py").filename
print(mmbeit3.path_of("configs"))
print(config)
"""
    folder, config = editable.check("-c", code, cwd=tmp_path).splitlines()[-2:]
    assert folder == str(checkout / "configs")
    assert config == f"{folder}/coco/mask-rcnn_beit3-adapter-b_fpn_1x_coco.py"
