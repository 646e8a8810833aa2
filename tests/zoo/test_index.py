"""The index lists all released files in OpenMMLab's schema; errors in an index name the field."""

import re
from pathlib import Path

import pytest
import yaml

from mmbeit3 import zoo
from mmbeit3.errors import UserError
from tests.paths import ROOT

OFFICIAL = "https://github.com/addf400/files/releases/download/beit3/"
SIZES = ("base", "large")
EACH = ("base", "base_indomain", "large", "large_indomain")
THREE = ("base", "base_indomain", "large")
RELEASED = [
    *(f"beit3_{size}_patch16_224.pth" for size in EACH),
    *(f"beit3_{size}_itc_patch16_224.pth" for size in SIZES),
    *(f"beit3_{size}_patch16_224_in1k.pth" for size in EACH),
    *(f"beit3_{size}_patch16_480_vqa.pth" for size in EACH),
    "beit3_large_indomain_patch16_768_vgqaaug_vqa.pth",
    *(f"beit3_{size}_patch16_224_nlvr2.pth" for size in EACH),
    *(f"beit3_{size}_patch16_480_coco_captioning.pth" for size in THREE),
    *(f"beit3_{size}_patch16_480_nocaps.pth" for size in THREE),
    *(f"beit3_{size}_patch16_384_coco_retrieval.pth" for size in SIZES),
    *(f"beit3_{size}_patch16_384_f30k_retrieval.pth" for size in SIZES),
    "beit3.spm",
    "nocaps_val_gt.json",
]
"""Everything on the release page of the authors."""


def _relative(config):
    return Path(config).relative_to(ROOT).as_posix()


def test_every_released_file_is_there():
    found = [entry.sources[0] for entry in zoo.read_index().values() if entry.sources]
    assert {url.removeprefix(OFFICIAL) for url in found if url.startswith(OFFICIAL)} == set(RELEASED)
    assert len(RELEASED) == 31
    assert len(found) == len(set(found))


def test_every_config_is_there():
    configs = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/*/*.py") if path.parent.name != "_base_"}
    entries = zoo.read_index().values()
    assert {_relative(entry.config) for entry in entries if entry.config} == configs
    own = {entry.name for entry in entries if entry.config and not entry.sources}
    assert own == {Path(config).stem for config in configs}
    for entry in entries:
        assert not entry.config or _relative(entry.config).startswith(f"configs/{entry.task}/")


def test_weights_have_metadata():
    for entry in zoo.read_index().values():
        if entry.sources:
            assert entry.license, entry.name
            assert entry.resolution or not entry.config, entry.name
            assert not entry.results or entry.scores_by, entry.name


def test_timm_has_the_names_that_timm_uses():
    timm = pytest.importorskip("timm")
    names = {f"beit3_{size}_patch16_224.{tag}" for size in SIZES for tag in ("pt", "indomain_pt")}
    names |= {f"beit3_{size}_patch16_224.{tag}in22k_ft_in1k" for size in SIZES for tag in ("", "indomain_")}
    assert {entry.vision_twin for entry in zoo.read_index().values() if entry.vision_twin} == names
    for name in names:
        cfg = timm.get_pretrained_cfg(name)
        assert cfg.hf_hub_id == f"timm/{name}"
        assert zoo.find(name).sources == (f"https://huggingface.co/timm/{name}/resolve/main/model.safetensors",)


@pytest.mark.parametrize("name", ["beit3-b_8xb16-10e_vqav2-480x480", "beit3-l_itc_64xb256-5e", "beit3-b_mdm_64xb32-1m"])
def test_needs_are_what_the_config_reads(name):
    from mmengine.config import Config

    entry = zoo.find(name)
    text = Config.fromfile(entry.config).pretty_text
    read = {re.sub(r".*/|\.pth$", "", path) for path in re.findall(r"""['"](https://[^'"]+|checkpoints/[^'"]+)['"]""", text)}
    assert read == set(entry.needs)


def test_openmmlabs_reader_accepts_it():
    modelindex = pytest.importorskip("modelindex")
    index = modelindex.load(str(ROOT))
    index.build_models_with_collections()
    names = {model.name for model in index.models}
    entries = zoo.read_index().values()
    assert names == {entry.name for entry in entries if entry.config}
    weights = {model.name: model.weights for model in index.models if model.weights}
    assert weights == {entry.name: entry.sources[0] for entry in entries if entry.config and entry.sources}


def test_lists():
    assert zoo.tasks() == [
        *("pretrain", "imagenet", "vqa", "nlvr2", "captioning", "retrieval"),
        *("coco", "objects365", "ade20k", "coco_stuff164k"),
    ]
    assert [entry.name for entry in zoo.files_for_task("coco")] == ["beit3_base_itc_patch16_224", "beit3_large_itc_patch16_224"]
    retrieval = [entry.name for entry in zoo.files_for_task("retrieval")]
    assert retrieval[0] == "beit3.spm"
    assert len(retrieval) == len(set(retrieval)) == 1 + 4 + 2
    assert not [entry.name for entry in zoo.files_for_task("imagenet") if "huggingface" in entry.sources[0]]
    with pytest.raises(UserError, match="no task 'timm': choose one of pretrain, imagenet"):
        zoo.files_for_task("timm")


def test_unknown_names():
    with pytest.raises(UserError, match="did you mean beit3_base_patch16_224"):
        zoo.find("beit3_base_patch16_244")
    for name in ("../../etc/passwd", "a/b", "", "beit3.spm/.."):
        with pytest.raises(UserError, match="the zoo has no '"):
            zoo.find(name)


MODEL = {"Name": "a", "In Collection": "c", "Config": "configs/x/a.py", "Weights": "https://example.org/a.pth"}


INDEX = "model-index.yml"


def index_of(folder, models, **more):
    (folder / "configs" / "x").mkdir(parents=True)
    (folder / "model-index.yml").write_text("Import: [configs/x/metafile.yml]")
    content = {"Collections": [{"Name": "c"}], "Models": models, **more}
    (folder / "configs" / "x" / "metafile.yml").write_text(yaml.safe_dump(content))
    return folder


def test_fields(tmp_path):
    model = {
        **MODEL,
        "Mirrors": ["https://mirror.example.org/a.pth"],
        "Metadata": {"Size": 7, "SHA-256": "0" * 64, "Resolution": 224, "Scores By": "us"},
        "Results": [{"Task": "t", "Dataset": "d", "Metrics": {"m": 1}}],
    }
    (entry,) = zoo.read_index(index_of(tmp_path, [model]) / INDEX).values()
    assert entry.sources == ("https://example.org/a.pth", "https://mirror.example.org/a.pth")
    assert (entry.task, entry.size, entry.sha256, entry.resolution) == ("x", 7, "0" * 64, 224)
    assert entry.results == (zoo.Result("d", {"m": 1.0}, "t"),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Name": None}, "'Name' is missing"),
        ({"Name": "../a"}, "'Name' may contain letters"),
        ({"Name": "a/b"}, "'Name' may contain letters"),
        ({"Name": "a..b"}, "'Name' may contain letters"),
        ({"Config": 3}, "Models a: 'Config' must be str, got 3"),
        ({"In Collection": "d"}, "no collection 'd'"),
        ({"Weights": "http://example.org/a.pth"}, "is not https"),
        ({"Weights": "https://example.org/../a.pth"}, "is not a plain file or folder name"),
        ({"Mirrors": "https://example.org/b.pth"}, "'Mirrors' must be list"),
        ({"Mirrors": [1]}, "'Mirrors' must be a list of strings"),
        ({"Needs": ["b"]}, "no URL for 'b', which 'a' refers to"),
        ({"Vision Twin": "b"}, "no URL for 'b', which 'a' refers to"),
        ({"Metadata": {"Size": "7 MB"}}, "'Size' must be int"),
        ({"Metadata": {"SHA-256": "abc"}}, "'SHA-256' must be 64 hexadecimal digits"),
        ({"Metadata": []}, None),
        ({"Metadata": [1]}, "Metadata must be a mapping"),
        ({"Results": [{"Task": "t"}]}, "Results 0: 'Dataset' is missing"),
        ({"Results": [{"Task": "t", "Dataset": "d", "Metrics": {"m": "high"}}]}, "'m' must be a number, got 'high'"),
    ],
)
def test_errors_name_the_field(tmp_path, change, message):
    root = index_of(tmp_path, [{**MODEL, **change}])
    if message is None:
        assert zoo.read_index(root / INDEX)
        return
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        zoo.read_index(root / INDEX)
    assert "\n" not in str(caught.value)


def test_missing_index_and_duplicate_names(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        zoo.read_index(tmp_path / INDEX)
    root = index_of(tmp_path, [MODEL, MODEL])
    with pytest.raises(UserError, match="the index has more than one entry named 'a'"):
        zoo.read_index(root / INDEX)


@pytest.mark.parametrize("imported", ["../metafile.yml", "/etc/metafile.yml", "configs/x/a.py"])
def test_imports_stay_below(tmp_path, imported):
    (tmp_path / "model-index.yml").write_text(f"Import: ['{imported}']")
    with pytest.raises(UserError, match=r"expected a relative path of a YAML file without '\.\.'"):
        zoo.read_index(tmp_path / INDEX)


def test_files_may_import_each_other(tmp_path):
    (tmp_path / INDEX).write_text("Import: [a.yml]")
    (tmp_path / "a.yml").write_text(f"Import: [{INDEX}, a.yml]\nModels: [{{Name: a, Config: c.py}}]")
    assert list(zoo.read_index(tmp_path / INDEX)) == ["a"]
    assert zoo.read_index(tmp_path / INDEX)["a"].config == str(tmp_path / "c.py")


def test_broken_yaml(tmp_path):
    (tmp_path / "model-index.yml").write_text("Import: [")
    with pytest.raises(UserError, match="cannot be read") as caught:
        zoo.read_index(tmp_path / INDEX)
    assert "\n" not in str(caught.value)
