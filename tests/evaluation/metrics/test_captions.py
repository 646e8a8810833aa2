import json
import shutil

import pytest

from mmbeit3.errors import UserError
from mmbeit3.evaluation import CaptionScores
from mmbeit3.evaluation.metrics import captions

PEOPLE = {1: ["A red box on the mat.", "a red box lies on a mat"], 2: ["Two men's dogs run", "two dogs are running"]}


def sample(image_id, caption, **fields):
    return {"image_id": image_id, "pred_caption": caption, "gt_captions": PEOPLE.get(image_id, []), **fields}


def evaluate(samples, **kwargs):
    metric = CaptionScores(**kwargs)
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_scores(tmp_path):
    out = tmp_path / "captions.json"
    good = evaluate([sample(1, "a red box on the mat"), sample(2, "two dogs run")], submission=str(out))
    assert set(good) == {"caption/CIDEr", *(f"caption/BLEU-{n}" for n in (1, 2, 3, 4))}
    bad = evaluate([sample(1, "two dogs run"), sample(2, "a red box on the mat")])
    assert good["caption/CIDEr"] > 100 > 1 > bad["caption/CIDEr"]
    assert 0 < good["caption/BLEU-1"] < 100
    assert json.loads(out.read_text()) == [
        {"image_id": 1, "caption": "a red box on the mat"},
        {"image_id": 2, "caption": "two dogs run"},
    ]


def test_repeats_count_once(logged):
    samples = [sample(1, "a red box"), sample(2, "dogs")]
    expected = evaluate(samples)
    assert evaluate([*samples, samples[0]]) == expected
    assert logged == ["2 of 2 images are scored", "2 of 3 images are scored: 1 repeat the image_id of another"]


def test_unreadable_images_count_as_described_by_nothing():
    seen = evaluate([sample(1, "a red box on the mat"), sample(2, "two dogs run")])
    unseen = evaluate([sample(1, "a red box on the mat"), sample(2, "two dogs run", unreadable=True)])
    assert unseen.pop("caption/unreadable") == 1
    assert unseen == evaluate([sample(1, "a red box on the mat"), sample(2, "")])
    assert unseen["caption/CIDEr"] < seen["caption/CIDEr"]


def test_split_without_captions(tmp_path):
    out = tmp_path / "captions.json"
    assert evaluate([sample("x", "dogs")], submission=str(out)) == {}
    assert json.loads(out.read_text()) == [{"image_id": "x", "caption": "dogs"}]


@pytest.mark.slow
def test_pycocoevalcap_agrees():
    pytest.importorskip("pycocoevalcap")
    if shutil.which("java") is None:
        pytest.skip("no Java")
    samples = [sample(1, "a red box on the mat"), sample(2, "two dogs run")]
    theirs, ours = evaluate(samples, backend="pycocoevalcap"), evaluate(samples)
    assert {name: theirs[name] for name in ours} == pytest.approx(ours, rel=1e-5)
    assert all(0 < theirs[f"caption/{name}"] < 100 for name in ("METEOR", "ROUGE-L"))


def test_what_is_missing(monkeypatch):
    with pytest.raises(UserError, match="backend"):
        CaptionScores(backend="other")
    with pytest.raises(UserError, match="spice=True needs"):
        CaptionScores(spice=True)
    with pytest.raises(UserError, match="predicts no captions"):
        CaptionScores().process(None, [{"image_id": 1}])
    monkeypatch.setattr(captions, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs that package: pip install pycocoevalcap"):
        CaptionScores(backend="pycocoevalcap")
    monkeypatch.setattr(captions, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="needs Java"):
        CaptionScores(backend="pycocoevalcap")
