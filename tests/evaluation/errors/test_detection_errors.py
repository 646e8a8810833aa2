"""Errors of detectors: cases by hand, and AP compared with pycocotools."""

import json

import numpy as np
import pytest
from pycocotools.cocoeval import COCOeval

from mmbeit3.errors import UserError
from mmbeit3.evaluation.errors.detection_ap import class_table
from mmbeit3.evaluation.errors.detection_errors import average_precision, break_down, count_misclassified, image_scores
from mmbeit3.evaluation.errors.detection_matches import ERRORS, match_detections, read_results, read_truth

CAT, DOG = 1, 2
OBJECT = [0, 0, 10, 10]
SHIFTED = [5, 0, 10, 10]  # IoU 1/3 with OBJECT
FAR = [50, 50, 10, 10]


def square(box):
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


@pytest.fixture
def make(tmp_path):
    """Make ground truth and results from lists of image, category, box and score; for ground truth optionally ``iscrowd``."""

    def making(objects, detections, images=2, categories=(CAT, DOG), classes=()):
        truth = {
            "images": [
                {"id": number + 1, "height": 100, "width": 100, "file_name": f"{number}.jpg"} for number in range(images)
            ],
            "categories": [{"id": number, "name": f"class {number}"} for number in categories],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "segmentation": square(box),
                    "iscrowd": int(any(crowd)),
                }
                for number, (image, category, box, *crowd) in enumerate(objects, start=1)
            ],
        }
        results = [
            {"image_id": image, "category_id": category, "bbox": box, "score": score}
            for image, category, box, score in detections
        ]
        for name, content in (("truth", truth), ("results", results)):
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        truth = read_truth(tmp_path / "truth.json", classes)
        return truth, read_results(truth, tmp_path / "results.json")

    return making


def analyse(truth, results):
    matches = match_detections(truth, results, "bbox")
    return matches, break_down(matches)


def names(matches):
    """Return the error of each detection, best score first; None for hits."""
    order = np.argsort(-matches.scores, kind="stable")
    return [None if matches.hits[index] else ERRORS[matches.errors[index]] for index in order]


def test_perfect(make):
    matches, found = analyse(*make([(1, CAT, OBJECT), (2, DOG, OBJECT)], [(1, CAT, OBJECT, 0.9), (2, DOG, OBJECT, 0.8)]))
    assert names(matches) == [None, None]
    assert found.ap50 == pytest.approx(100)
    assert set(found.gains.values()) == {0.0}
    assert found.false_positives == found.false_negatives == 0


def test_localisation(make):
    # Only a shifted cat: fixing the error makes the AP 1.
    matches, found = analyse(*make([(1, CAT, OBJECT)], [(1, CAT, SHIFTED, 0.9)]))
    assert names(matches) == ["localisation"]
    assert found.ap50 == 0
    assert found.gains == pytest.approx(dict.fromkeys((*ERRORS, "missed"), 0.0) | {"localisation": 100})
    assert found.counts["missed"] == 0


def test_classification_changes_the_class(make):
    # A dog called a cat, beside a cat that is found with less certainty. Cats: false at 0.9, hit at 0.8: AP 1/2. Dogs: 0.
    objects = [(1, DOG, OBJECT), (1, CAT, FAR)]
    matches, found = analyse(*make(objects, [(1, CAT, OBJECT, 0.9), (1, CAT, FAR, 0.8)]))
    assert names(matches) == ["classification", None]
    assert found.ap50 == pytest.approx(25)
    assert found.gains["classification"] == pytest.approx(75)
    assert found.gains["missed"] == 0
    assert count_misclassified(matches) == {(DOG, CAT): 1}
    # Without the false one: cats 1, dogs 0. Without what was not found: cats 1/2, of dogs nothing is left.
    assert found.false_positives == pytest.approx(25)
    assert found.false_negatives == pytest.approx(50)


def test_duplicate(make):
    # Hit at 0.9, twice the same at 0.8, another hit at 0.7: precision 1 up to recall 1/2, then 2/3.
    objects = [(1, CAT, OBJECT), (1, CAT, FAR)]
    matches, found = analyse(*make(objects, [(1, CAT, OBJECT, 0.9), (1, CAT, [0, 0, 10, 9], 0.8), (1, CAT, FAR, 0.7)]))
    assert names(matches) == [None, "duplicate", None]
    ap = 100 * (51 + 50 * 2 / 3) / 101
    assert found.ap50 == pytest.approx(ap)
    assert found.gains["duplicate"] == pytest.approx(100 - ap)
    assert found.counts == dict.fromkeys(ERRORS, 0) | {"duplicate": 1, "missed": 0}


def test_background_in_an_image_with_objects_and_in_one_without(make):
    for image, box in ((1, FAR), (2, OBJECT)):
        matches, found = analyse(*make([(1, CAT, OBJECT)], [(image, CAT, box, 0.9), (1, CAT, OBJECT, 0.5)]))
        assert names(matches) == ["background", None]
        assert found.ap50 == pytest.approx(50)
        assert found.gains["background"] == pytest.approx(50)


def test_both(make):
    # On a dog, misplaced and called a cat. Nothing says which dog was meant, so the dog is missed.
    matches, found = analyse(*make([(1, DOG, OBJECT), (2, CAT, OBJECT)], [(1, CAT, SHIFTED, 0.9), (2, CAT, OBJECT, 0.5)]))
    assert names(matches) == ["both", None]
    assert found.ap50 == pytest.approx(25)
    assert found.gains["both"] == pytest.approx(25)
    assert found.counts["missed"] == 1
    # Dogs have nothing left to be found.
    assert found.gains["missed"] == pytest.approx(50)


def test_missed(make):
    # One of two cats: precision 1 up to recall 1/2.
    matches, found = analyse(*make([(1, CAT, OBJECT), (1, CAT, FAR)], [(1, CAT, OBJECT, 0.9)]))
    assert names(matches) == [None]
    assert found.ap50 == pytest.approx(100 * 51 / 101)
    assert found.gains["missed"] == found.false_negatives == pytest.approx(100 * 50 / 101)


def test_of_several_about_one_object_the_best_is_mended(make):
    # Two misplaced ones of one object: one becomes a hit, the other goes. Of a found object both go.
    matches, found = analyse(*make([(1, CAT, OBJECT)], [(1, CAT, SHIFTED, 0.9), (1, CAT, [0, 5, 10, 10], 0.8)]))
    assert names(matches) == ["localisation", "localisation"]
    assert found.gains["localisation"] == pytest.approx(100)
    _, found = analyse(*make([(1, CAT, OBJECT)], [(1, CAT, SHIFTED, 0.9), (1, CAT, OBJECT, 0.8)]))
    assert found.ap50 == pytest.approx(50)
    assert found.gains["localisation"] == pytest.approx(50)


def test_crowds_are_no_objects_and_what_is_in_them_no_error(make):
    matches, found = analyse(
        *make([(1, CAT, OBJECT), (1, CAT, [40, 40, 50, 50], True)], [(1, CAT, FAR, 0.9), (1, CAT, OBJECT, 0.5)])
    )
    assert names(matches) == [None]
    assert found.ap50 == pytest.approx(100)
    assert found.counts["missed"] == 0


def test_nothing_detected_and_nothing_there(make):
    _, found = analyse(*make([(1, CAT, OBJECT)], []))
    assert found.ap50 == 0
    assert found.gains["missed"] == pytest.approx(100)
    _, found = analyse(*make([], [(1, CAT, OBJECT, 0.5)]))
    assert found.ap50 == 0
    assert found.counts["background"] == 1


def test_image_scores(make):
    truth, results = make(
        [(1, CAT, OBJECT), (1, CAT, FAR), (2, DOG, OBJECT)],
        [(1, CAT, OBJECT, 0.9), (1, CAT, FAR, 0.2), (2, CAT, FAR, 0.6)],
        images=3,
    )
    matches = match_detections(truth, results, "bbox")
    # One of two found; none of one, and a false detection; no objects and no detections.
    assert image_scores(matches, [1, 2, 3], 0.5) == {1: pytest.approx(2 / 3), 2: 0.0, 3: 1.0}
    assert image_scores(matches, [1, 2, 3], 0.1)[1] == 1.0


@pytest.fixture
def crowded(make):
    """Many objects and detections of all kinds, some with equal scores."""
    rng = np.random.default_rng(3)
    objects, detections = [], []
    for image in range(1, 21):
        for _ in range(rng.integers(0, 4)):
            x, y, w, h = rng.uniform([0, 0, 5, 5], [50, 50, 45, 45]).round(1).tolist()
            category = int(rng.integers(1, 4))
            objects.append((image, category, [x, y, w, h], rng.random() < 0.1))
            for _ in range(rng.integers(0, 4)):
                moved = (np.array([x, y, w, h]) + rng.normal(0, 3, 4)).clip(1).round(1).tolist()
                called = category if rng.random() < 0.7 else int(rng.integers(1, 4))
                detections.append((image, called, moved, float(rng.integers(1, 20)) / 20))
        detections.append((image, 1, [80, 80, 9, 9], 0.3))
    return make(objects, detections, images=20, categories=(1, 2, 3))


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_ap_is_pycocotools(crowded, iou_type):
    truth, results = crowded
    evaluation = COCOeval(truth, results, iou_type)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    matches = match_detections(truth, results, iou_type)
    assert set(matches.errors) == {-1, 0, 1, 2, 3, 4}
    found = break_down(matches)
    assert found.ap50 == pytest.approx(100 * evaluation.stats[1], abs=1e-9)
    assert all(gain >= 0 for gain in found.gains.values())
    assert found.false_positives >= max(found.gains[error] for error in ("background", "both", "duplicate"))
    whole = class_table(truth, results, iou_type)[-1]
    wanted = [None if value < 0 else 100 * value for value in evaluation.stats[:6]]
    assert list(whole.values) == pytest.approx(wanted)


def test_class_table(make):
    big = [0, 0, 99, 99]
    truth, results = make([(1, CAT, OBJECT), (2, CAT, big)], [(1, CAT, OBJECT, 0.9)])
    cat, dog, whole = class_table(truth, results, "bbox")
    # The small one is found exactly, the large one not.
    assert cat.objects == 2
    assert cat.values == pytest.approx((100 * 51 / 101,) * 3 + (100, None, 0))
    assert dog.values == (None,) * 6
    assert whole.values == cat.values


def test_only_the_classes_of_the_dataset_count(make):
    """mmdet leaves out objects of other categories: the model cannot find them."""
    objects = [(1, CAT, OBJECT), (1, DOG, FAR), (2, 3, OBJECT)]
    found = [(1, CAT, OBJECT, 0.9), (1, CAT, FAR, 0.8)]
    truth, results = make(objects, found, categories=(CAT, DOG, 3), classes=("class 1", "class 3"))
    matches, gains = analyse(truth, results)
    assert names(matches) == [None, "background"]
    assert matches.truth_categories.tolist() == [CAT, 3]
    assert gains.ap50 == pytest.approx(50)
    assert [row.name for row in class_table(truth, results, "bbox")] == ["class 1", "class 3", "all"]


def test_average_precision_by_hand():
    # Hit, false, hit, of three objects: precision 1 up to recall 1/3, 2/3 up to 2/3, then 0.
    ap = average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 3)
    assert ap == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0


def test_files_that_are_no_annotations(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "zero.json").write_text(
        json.dumps(
            {
                "images": [{"id": 1}],
                "categories": [{"id": 1, "name": "cat"}],
                "annotations": [{"id": 0, "image_id": 1, "category_id": 1}],
            }
        )
    )
    for name, message in (("none", "is not a COCO"), ("list", "is not a COCO"), ("zero", "count ids from 1")):
        with pytest.raises(UserError, match=message):
            read_truth(tmp_path / f"{name}.json")
