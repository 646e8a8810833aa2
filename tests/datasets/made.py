"""Small annotation files in the official formats, with images."""

import json

import cv2
import numpy as np

from mmbeit3.text.tokenizer import train_text_tokenizer

CAPTIONS = [
    "a red circle lies left of a blue square",
    "two green triangles above the box",
    "the quick red fox jumps",
    "a blue box under three circles",
    "is the left square red?",
]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def image(path, seed=0, size=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    return path


def tokenizer(folder):
    return str(train_text_tokenizer(CAPTIONS * 5, folder / "small.spm", 40))


def karpathy(folder, coco=True):
    """Write six images, one of them in restval, with two or three captions each."""
    images = []
    for number, split in enumerate(["test", "train", "restval", "val", "train", "test"]):
        name = f"COCO_{number:012d}.jpg" if coco else f"{number}.jpg"
        place = {"filepath": "val2014" if number % 2 else "train2014", "cocoid": 500 + number} if coco else {}
        image(folder / place.get("filepath", "") / name, seed=number)
        sentences = [
            {"raw": f"{CAPTIONS[i]} {number}", "tokens": [], "imgid": number, "sentid": 10 * number + i}
            for i in range(2 + number % 2)
        ]
        ids = [sentence["sentid"] for sentence in sentences]
        images.append({"filename": name, "imgid": number, "split": split, "sentences": sentences, "sentids": ids, **place})
    return write(folder / "dataset.json", {"images": images, "dataset": "coco"})


def nlvr2(folder):
    """Write three training sentences about two pairs in two folders, and one dev sentence."""
    lines = []
    for identifier, directory in (("train-1-0-0", 7), ("train-1-0-1", 7), ("train-2-3-0", 61)):
        lines.append(
            {"sentence": CAPTIONS[0], "identifier": identifier, "directory": directory, "label": "True", "left_url": "x"}
        )
        for side in (0, 1):
            image(folder / "images" / "train" / str(directory) / f"{identifier[:-2]}-img{side}.png", seed=side)
    lines[1]["label"] = "False"
    write(folder / "train.json", "\n".join(map(json.dumps, lines)) + "\n")
    for side in (0, 1):
        image(folder / "images" / "dev" / f"dev-5-1-img{side}.png", seed=side)
    write(folder / "dev.json", json.dumps({"sentence": CAPTIONS[1], "identifier": "dev-5-1-0", "label": "False"}))
    return folder


def vqa(folder, images=4, answers=True):
    """Write two questions per image. Between 1 and 10 people give the same answer."""
    questions, annotations = [], []
    for number in range(images):
        image(folder / "val2014" / f"COCO_val2014_{number:012d}.jpg", seed=number)
        for which in range(2):
            question_id = 10 * number + which
            questions.append({"image_id": number, "question": CAPTIONS[-1], "question_id": question_id})
            agreed = 1 + (3 * number + which) % 10
            people = ["red"] * agreed + [f"other {i}" for i in range(10 - agreed)]
            annotations.append(
                {
                    "question_type": "is the",
                    "answer_type": "other",
                    "multiple_choice_answer": "red",
                    "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": i + 1} for i, a in enumerate(people)],
                    "image_id": number,
                    "question_id": question_id,
                }
            )
    write(folder / "questions.json", {"questions": questions})
    if answers:
        write(folder / "annotations.json", {"annotations": annotations})
    return folder
