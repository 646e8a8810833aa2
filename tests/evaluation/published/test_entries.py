"""Reading an index, choosing entries, and the names of scores."""

from pathlib import Path

import pytest

from mmbeit3.errors import UserError
from mmbeit3.evaluation.published import choose, published_on
from mmbeit3.evaluation.published.evaluate import evaluate
from mmbeit3.evaluation.published.jobs import Job, data_root_of, parse_data_roots
from mmbeit3.evaluation.published.score_names import find_score, known_scores, percent_scores
from mmbeit3.evaluation.published.weights import find_weights
from mmbeit3.zoo import Model, read_index
from tests.evaluation.published.made import SEGMENTOR, make_model, model, write_index
from tests.paths import ROOT


def test_the_zoos_own():
    chosen = choose(read_index(ROOT / "model-index.yml").values(), [])
    assert len(chosen) > 20
    assert all(Path(entry.config).is_file() for entry in chosen)
    nlvr2 = next(entry for entry in chosen if entry.name == "beit3_base_patch16_224_nlvr2")
    assert published_on(nlvr2, "test") == {"Top 1 Accuracy": "NLVR2 test-P"}
    assert published_on(nlvr2, "val") == {"Top 1 Accuracy": "NLVR2 dev"}
    # Every published score has a supported name.
    keys = ["accuracy/top1", "accuracy/top5", "vqa/score", "caption/CIDEr", "retrieval/TR@1", "retrieval/IR@1"]
    scores = dict.fromkeys(keys, 1.0)
    assert all(find_score(name, scores) == 1.0 for entry in chosen for name in entry.published)


def test_imports_and_paths(tmp_path):
    (tmp_path / "configs" / "some").mkdir(parents=True)
    for name in ("one.py", "two.py"):
        (tmp_path / "configs" / "some" / name).write_text("")
    (tmp_path / "weights.pth").write_text("")
    far = model("far", "https://example.org/far.pth", "configs/some/two.py")
    write_index(tmp_path / "configs" / "some" / "metafile.yml", model("near", "weights.pth", "configs/some/one.py"), far)
    (tmp_path / "model-index.yml").write_text("Import:\n- configs/some/metafile.yml\n")
    near, far = read_index(tmp_path / "model-index.yml").values()
    assert near.config == str(tmp_path / "configs" / "some" / "one.py")
    assert find_weights(near) == tmp_path / "weights.pth"
    assert far.weights == "https://example.org/far.pth"
    assert near.published == {"mIoU": {"shapes": 50.0}}


def test_choose():
    entries = [
        make_model("a_coco", weights="w", mIoU={"data": 1.0}),
        make_model("b_coco", mIoU={"data": 1.0}),
        make_model("c_ade", weights="w"),
        make_model("d_ade", weights="w", mIoU={"data": 1.0}),
        Model("file_coco", sources=("https://example.org/file",)),
    ]
    assert [entry.name for entry in choose(entries, [])] == ["a_coco", "d_ade"]
    assert [entry.name for entry in choose(entries, ["*_ade", "*a_coco"])] == ["a_coco", "c_ade", "d_ade"]
    with pytest.raises(UserError, match=r"no model 'a_coc': did you mean a_coco"):
        choose(entries, ["a_coc"])
    with pytest.raises(UserError, match="name the models to evaluate"):
        choose(entries[1:3], [])
    with pytest.raises(UserError, match="b_coco has no weights in the index"):
        find_weights(entries[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Models: [", r"index.yml' cannot be read \("),
        ("- a", r"index.yml' must be a mapping"),
        ("Collections: []", "lists no models"),
        ("Models: [{Name: a}]", r"index.yml', Models a: 'Config' is missing"),
        ("Models: [{Config: a}]", r"index.yml', Models 0: 'Name' is missing"),
        ("Models: [5]", r"index.yml', Models 0 must be a mapping"),
        ("Models: [{Name: a, Config: c, Results: [{Metrics: {mIoU: 1}}]}]", "Results 0: 'Dataset' is missing"),
        (
            "Models: [{Name: a, Config: c, Results: [{Dataset: d, Metrics: {mIoU: high}}]}]",
            "'mIoU' must be a number, got 'high'",
        ),
        ("Models: [{Name: a, Config: c}, {Name: a, Config: d}]", "more than one entry named 'a'"),
        ("Import: [none.yml]", r"none.yml' does not exist"),
    ],
)
def test_what_is_no_index(tmp_path, content, message):
    (tmp_path / "index.yml").write_text(content)
    with pytest.raises(UserError, match=message):
        read_index(tmp_path / "index.yml")


def test_roots(tmp_path):
    for name in ("all", "coco"):
        (tmp_path / name).mkdir()
    roots = parse_data_roots([str(tmp_path / "all"), f"COCO={tmp_path / 'coco'}"])
    for dataset, folder in (("COCO", "coco"), ("COCO test-dev", "coco"), ("COCO-Stuff", "all"), ("ADE20K", "all")):
        assert data_root_of(make_model("a", m={dataset: 1.0}), roots) == str(tmp_path / folder)
    assert data_root_of(make_model("a", m={"ADE20K": 1.0}), {"COCO": "x"}) is None
    for wrong in ([str(tmp_path / "none")], ["A=nowhere"], [str(tmp_path)] * 2):
        with pytest.raises(UserError, match="--data-root"):
            parse_data_roots(wrong)


def test_names():
    scores = {"coco/bbox_mAP": 0.5, "coco/segm_mAP": -1.0, "accuracy/top1": 80.0, "custom": 3.0, "mIoU": 40.0}
    assert find_score("box AP", scores) == 50
    assert find_score("Top-1 accuracy", scores) == find_score("accuracy", scores) == 80
    assert find_score("custom", scores) == 3
    # COCO's -1 for data without ground truth; a score that was not measured; another protocol.
    assert find_score("mask AP", scores) is find_score("PQ", scores) is find_score("mIoU(ms+flip)", scores) is None
    assert known_scores(scores) == {"box AP": 50, "mIoU": 40, "Top 1 Accuracy": 80}
    assert known_scores({"custom": 3.0}) == {"custom": 3.0}


def test_data_root_moves_all_that_is_read_there(tmp_path):
    detector = ROOT / "configs" / "shapes" / "mask-rcnn_beit3-adapter-t_shapes.py"
    cfg = Job(make_model("a", detector), "other/place", seed=3).config(tmp_path)
    assert cfg.test_dataloader.dataset.data_root == "other/place/"
    assert cfg.test_evaluator.ann_file == "other/place/annotations/instances_val2017.json"
    assert cfg.randomness == {"seed": 3}
    vqa = ROOT / "configs" / "vqa" / "beit3-tiny_vqa_shapes.py"
    cfg = Job(make_model("a", vqa), "there", split="val").config(tmp_path)
    assert cfg.model.answers == "there/vqa/answers.txt"
    assert cfg.test_dataloader.dataset.pipeline[2].tokenizer == "there/texts.spm"


def test_corruption_stands_behind_loading(tmp_path):
    kinds = [step.type for step in _pipeline(Job(make_model("a", SEGMENTOR), corruption="fog", severity=2), tmp_path)]
    assert kinds[:3] == ["LoadImageFromFile", "mmbeit3.Corrupt", "Resize"]
    nlvr2 = ROOT / "configs" / "nlvr2" / "beit3-tiny_nlvr2_shapes.py"
    pair = _pipeline(Job(make_model("a", nlvr2), corruption="fog", severity=2), tmp_path)[0]
    assert [step.type for step in pair.transforms][:2] == ["mmbeit3.LoadImageOrGrey", "mmbeit3.Corrupt"]


def _pipeline(job, folder):
    return job.config(folder).test_dataloader.dataset.pipeline


def test_split_without_ground_truth(tmp_path):
    job = Job(make_model("a", SEGMENTOR), split="val", options={"val_evaluator": None})
    with pytest.raises(UserError, match="has no val_evaluator: use another --split"):
        job.config(tmp_path)


def test_data_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"data folder 'data/shapes/ade' does not exist"):
        evaluate(Job(make_model("a", SEGMENTOR)), tmp_path / "none.pth", tmp_path)


def test_all_scores_in_percent():
    """mmdet logs COCO's scores as fractions, all others are in percent."""
    logged = {
        "coco/bbox_mAP": 0.5,
        "coco/bbox_mAP_50": 0.75,
        "coco/segm_mAP_l": 0.25,
        "coco/segm_mAP_s": -1.0,
        "coco_panoptic/PQ": 40.0,
        "mIoU": 68.8,
        "mAcc": 80.0,
        "accuracy/top1": 90.0,
    }
    expected = {
        "box AP": 50.0,
        "box AP50": 75.0,
        "mask AP large": 25.0,
        "PQ": 40.0,
        "mIoU": 68.8,
        "mAcc": 80.0,
        "Top 1 Accuracy": 90.0,
    }
    assert percent_scores(logged) == expected
