"""Questions and statements are true, balanced, and readable by the datasets of the tasks."""

import colorsys
import json
import re
from collections import Counter, defaultdict

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmbeit3.datasets.karpathy import KarpathyCaptions, KarpathyRetrieval
from mmbeit3.datasets.nlvr2 import NLVR2
from mmbeit3.datasets.shapes import THING_CLASSES, Scene, SceneObject, make_shapes_dataset
from mmbeit3.datasets.shapes.attributes import colour_of
from mmbeit3.datasets.shapes.captions import describe, random_caption
from mmbeit3.datasets.shapes.questions import BalancedChooser, make_questions, make_statements

SPLITS = {"train": 60, "val": 20}
NUMBERS = ["no", "one", "two", "three", "four", "five"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_shapes_dataset(tmp_path_factory.mktemp("data") / "shapes", **SPLITS, size=96)


@pytest.fixture(scope="module", params=SPLITS)
def split(request):
    return request.param


class Seen:
    """Content of an image, read from its detection annotations and pixels."""

    def __init__(self, folder, split, coco, image_id):
        pixels = cv2.imread(str(folder / f"{split}2017" / f"{image_id:012d}.jpg"))[..., ::-1]
        self.things = defaultdict(list)
        self.crowded = set()
        for annotation in coco.imgToAnns[image_id]:
            name = coco.cats[annotation["category_id"]]["name"]
            mask = coco.annToMask(annotation).astype(bool)
            y, x = (places.mean() / len(mask) for places in np.nonzero(mask))
            hue = 360 * colorsys.rgb_to_hsv(*pixels[mask].mean(axis=0))[0]
            self.things[name].append({"x": x, "y": y, "hue": hue})
            if annotation["iscrowd"]:
                self.crowded.add(name)
        content = cv2.imread(
            str(folder / "ade" / "annotations" / {"train": "training", "val": "validation"}[split] / f"{image_id:012d}.png")
        )
        self.stuff = {("stripes", "checks", "clouds")[label - 1] for label in np.unique(content) if label <= 3}

    def answer(self, question):
        """Compute the answer from the words of the question."""
        colours = {"red": 0, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "purple": 300}
        words = [re.sub(r"^crosses$", "cross", word) for word in question.split()]
        words = [word[:-1] if word[:-1] in THING_CLASSES else word for word in words]
        names = [word for word in words if word in THING_CLASSES]
        assert not set(names) & self.crowded, question
        if question.startswith("how many"):
            hue = next((colours[word] for word in words if word in colours), None)
            return str(sum(hue is None or distance(thing["hue"], hue) < 30 for thing in self.things[names[0]]))
        if question.startswith("is there"):
            return "yes" if self.things[names[0]] else "no"
        if question == "what is behind":
            (only,) = self.stuff
            return only
        assert all(len(self.things[name]) == 1 for name in names), question
        if question.startswith("what colour"):
            return min(colours, key=lambda name: distance(colours[name], self.things[names[0]][0]["hue"]))
        axis, sign = next(
            (axis, sign)
            for side, axis, sign in (("left", "x", -1), ("right", "x", 1), ("above", "y", -1), ("below", "y", 1))
            if side in words
        )
        there = self.things[names[-1]][0][axis]
        if question.startswith("is the"):
            return "yes" if sign * (self.things[names[0]][0][axis] - there) > 0 else "no"
        assert question.startswith("what is")
        (found,) = [name for name, things in self.things.items() for thing in things if sign * (thing[axis] - there) > 0.05]
        return found


def distance(a, b):
    return abs((a - b + 180) % 360 - 180)


def asked(folder, split):
    questions, annotations = (
        json.loads((folder / "vqa" / f"{name}_{split}2017.json").read_text())[name] for name in ("questions", "annotations")
    )
    return list(zip(questions, annotations, strict=True))


def test_answers_are_true(folder, split):
    coco = COCO(folder / "annotations" / f"instances_{split}2017.json")
    seen = {image_id: Seen(folder, split, coco, image_id) for image_id in coco.imgs}
    kinds = Counter()
    for question, annotation in asked(folder, split):
        assert question["question_id"] == annotation["question_id"]
        assert annotation["multiple_choice_answer"] == seen[question["image_id"]].answer(question["question"]), question
        kinds[annotation["question_type"]] += 1
    assert len(kinds) == 7
    assert len({question["question_id"] for question, _ in asked(folder, split)}) == kinds.total()


def test_statements_are_true(folder, split):
    coco = COCO(folder / "annotations" / f"instances_{split}2017.json")
    name = {"train": "train", "val": "dev"}[split]
    by_bytes = {path.read_bytes(): int(path.stem) for path in (folder / f"{split}2017").iterdir()}
    lines = [json.loads(line) for line in (folder / "nlvr2" / f"{name}.json").read_text().splitlines()]
    assert 2 * SPLITS[split] < len(lines) <= 4 * SPLITS[split]
    for line in lines:
        images = folder / "nlvr2" / "images" / name / str(line.get("directory", ""))
        pair = line["identifier"].rpartition("-")[0]
        left, right = (by_bytes[(images / f"{pair}-img{side}.png").read_bytes()] for side in (0, 1))
        assert str(is_true(line["sentence"], *(count(coco, image_id) for image_id in (left, right)))) == line["label"], line


def count(coco, image_id):
    return Counter(coco.cats[annotation["category_id"]]["name"] for annotation in coco.imgToAnns[image_id])


def is_true(statement, left, right):
    words = statement.replace("crosses", "cross").split()
    (name,) = {word.rstrip("s") if word.rstrip("s") in THING_CLASSES else word for word in words} & set(THING_CLASSES)
    a, b = left[name], right[name]
    if statement.endswith("in all"):
        return NUMBERS.index(words[2]) == a + b
    if "more" in words:
        return a > b if words.index("left") < words.index("right") else b > a
    return {"the left": a > 0, "the right": b > 0, "each image": a > 0 < b, "only one": (a > 0) + (b > 0) == 1}[
        " ".join(words[:2])
    ]


def test_no_answer_is_the_usual_one(folder):
    answers = Counter(annotation["multiple_choice_answer"] for _, annotation in asked(folder, "train"))
    assert max(answers.values()) / answers.total() < 0.25
    assert answers["yes"] / (answers["yes"] + answers["no"]) == pytest.approx(0.5, abs=0.06)
    assert (folder / "vqa" / "answers.txt").read_text().split() == sorted(answers)
    lines = (folder / "nlvr2" / "train.json").read_text().splitlines()
    labels = Counter(json.loads(line)["label"] for line in lines)
    assert labels["True"] / labels.total() == pytest.approx(0.5, abs=0.06)


def test_chooser_takes_what_was_chosen_least():
    offers = {"a": [("is it", "yes"), ("is it", "no")], "b": [("what", "this"), ("what", "that")], "c": []}
    chooser = BalancedChooser(np.random.default_rng(0))
    chosen = [tuple(chooser.choose(offers, 5)) for _ in range(10)]
    assert all(sorted(kind for kind, *_ in one) == ["a", "b"] for one in chosen)
    assert set(Counter(said for one in chosen for said in one).values()) == {5}
    assert len(list(chooser.choose(offers, 1))) == 1


def test_chooser_leaves_out_the_usual_answer():
    chooser = BalancedChooser(np.random.default_rng(0))
    usual, other = {"a": [("is it", "yes")]}, {"a": [("is it", "no")]}
    taken = [len(list(chooser.choose(offers, 1))) for offers in (usual, usual, usual, other, usual, usual)]
    assert taken == [1, 0, 0, 1, 1, 0]


def scene(*things, colour=(200, 30, 30)):
    """Make a scene of 64 x 64 pixels with squares of 8 pixels at (x, y) as things of the given names."""
    image = np.full((64, 64, 3), 128, np.uint8)
    objects = []
    for name, x, y in things:
        mask = np.zeros((64, 64), bool)
        mask[y : y + 8, x : x + 8] = True
        image[mask] = colour
        objects.append(SceneObject(name, mask))
    return Scene(image, objects, np.zeros((64, 64), int))


def test_what_is_unclear_is_not_asked():
    apart = make_questions(scene(("star", 0, 10), ("cross", 40, 10)))
    assert ("is the star left of the cross", "yes") in apart["where"]
    assert ("is the cross left of the star", "no") in apart["where"]
    assert ("what is right of the star", "cross") in apart["what"]
    # They are as high as each other.
    assert not any("above" in question for question, _ in apart["where"] + apart["what"])
    twice = make_questions(scene(("star", 0, 10), ("star", 40, 10)))
    assert ("how many stars are there", "2") in twice["how many"]
    assert not twice["where"] + twice["what"] + twice["what colour"]
    crowd = scene(("circle", 0, 10))
    crowd.objects[0].crowd = True
    assert not any("circle" in question for offered in make_questions(crowd).values() for question, _ in offered)
    assert make_questions(crowd)["what is behind"] == [("what is behind", "stripes")]


@pytest.mark.parametrize(("colour", "name"), [((200, 30, 30), "red"), ((30, 200, 200), "cyan"), ((200, 115, 30), None)])
def test_colours(colour, name):
    one = scene(("star", 0, 10), colour=colour)
    assert colour_of(one, one.objects[0]) == name
    assert dict(make_questions(one)["what colour"]).get("what colour is the star") == name


def test_statements_of_what_is_in_neither():
    said = make_statements({"star": 0, "cross": 1}, {"star": 0})
    assert ("each image has a star", "False") in said["each"]
    assert not said["more"] + said["in all"]
    assert not any("cross" in statement for offered in said.values() for statement, _ in offered)


def kinds(sentence):
    return re.findall(
        r"(?:no|one|two|three|four|many) [a-z ]*?(?:circle|square|triangle|star|cross|crescent)(?:e?s)?", sentence
    )


def test_sentences_about_places_and_colours():
    square = np.zeros((100, 100), bool)
    square[10:30, 10:30] = True
    star = np.zeros((100, 100), bool)
    star[15:35, 60:80] = True
    image = np.full((100, 100, 3), 128, np.uint8)
    image[square], image[star] = (200, 20, 20), (200, 110, 20)  # red, and between red and yellow
    scene = Scene(image, [SceneObject("square", square), SceneObject("star", star)], np.zeros((100, 100), int))
    said = {describe(scene, np.random.default_rng(seed)) for seed in range(60)}
    assert {kind for sentence in said for kind in kinds(sentence)} == {"one red square", "one star"}
    places = {sentence.split(", ")[1] for sentence in said if "," in sentence}
    # Nearly as high, so neither is above.
    assert places == {"the square left of the star", "the star right of the square"}
    assert len(said) == 9


def test_imagined_sentences_do_not_contradict_themselves():
    for seed in range(200):
        sentence = random_caption(np.random.default_rng(seed))
        assert len(kinds(sentence)) == len(set(kinds(sentence))) > 0
        if placed := re.search(r", the (\w+) (?:left of|right of|above|below) the (\w+)$", sentence):
            for name in placed.groups():
                assert len(re.findall(rf"\bone \w+ {name}\b", sentence)) == 1
                assert placed[1] != placed[2]


def test_read_by_the_tasks_datasets(folder):
    captions = KarpathyCaptions(
        data_root=str(folder), ann_file="captions_val2017.json", splits=("val",), test_mode=True, pipeline=[]
    )
    assert len(captions) == SPLITS["val"]
    pairs = [json.loads(line) for line in (folder / "pairs_val.jsonl").read_text().splitlines()]
    for index, pair in enumerate(pairs):
        entry = captions.get_data_info(index)
        assert entry["img_path"].endswith(pair["image"])
        # Other openings, the same things.
        assert kinds(pair["text"]) == kinds(entry["gt_captions"][0])
    texts = KarpathyRetrieval(
        data_root=str(folder), ann_file="captions_train2017.json", splits=("train",), entries="texts", pipeline=[]
    )
    assert len({texts.get_data_info(index)["text_id"] for index in range(len(texts))}) == len(texts) > SPLITS["train"]
    for name, split in (("train", "train"), ("dev", "val")):
        statements = NLVR2(
            data_root=str(folder), ann_file=f"nlvr2/{name}.json", data_prefix={"img_path": f"nlvr2/images/{name}"}, pipeline=[]
        )
        assert 2 * SPLITS[split] < len(statements) <= 4 * SPLITS[split]


def test_read_by_mmpretrain(folder):
    pytest.importorskip("mmpretrain")
    from mmpretrain.datasets import ImageNet

    from mmbeit3.datasets.vqa import VQAv2

    vqa = VQAv2(
        "vqa/questions_val2017.json",
        "vqa/annotations_val2017.json",
        data_root=str(folder),
        data_prefix={"img_path": "val2017"},
        pipeline=[],
    )
    for index, (question, annotation) in enumerate(asked(folder, "val")):
        entry = vqa.get_data_info(index)
        assert entry["gt_answers"] == 10 * [annotation["multiple_choice_answer"]]
        assert entry["img_path"].endswith(f"val2017/{question['image_id']:012d}.jpg")
    classes = ImageNet(
        data_root=str(folder / "classes"), split="train", metainfo={"classes": sorted(THING_CLASSES)}, pipeline=[]
    )
    coco = COCO(folder / "annotations" / "instances_train2017.json")
    whole = [annotation for annotation in coco.anns.values() if not annotation["iscrowd"]]
    assert len(classes) == len(whole)
    found = Counter(classes.CLASSES[label] for label in classes.get_gt_labels())
    assert found == Counter(coco.cats[annotation["category_id"]]["name"] for annotation in whole)
