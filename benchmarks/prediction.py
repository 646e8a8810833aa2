"""Predictions of a trained model: speed against OpenMMLab's inferencers, memory for a large photograph, and tiles."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch

from mmbeit3.errors import UserError
from mmbeit3.files import write_atomically
from mmbeit3.images import find_images, read_image, write_image
from mmbeit3.inference import Predictor, load_model
from mmbeit3.inference.loading import find_model
from mmbeit3.profiling.machine import describe_machine

__all__ = ["compare_tiles", "compare_with_inferencers", "measure_large_photograph", "run_prediction_benchmark"]

_LARGE = (4000, 6000)
"""Height and width of the large photograph: 24 megapixels."""
_CANVAS = 2048
_PASTED = 24
"""Number of images that are pasted into a large one."""


def run_prediction_benchmark(
    model: str, images: str, out: Path, command: str, batch: int, rounds: int, count: int, threads: int, score: float
) -> dict[str, Any]:
    """Measure a model on the images of a folder, print the figures, and write ``results.json``.

    Args:
        model: work dir of a training.
        images: folder of images.
        out: output folder.
        command: command line, for the report.
        batch: number of images per forward pass.
        rounds: number of measurements; one more before them is not counted.
        count: number of images.
        threads: number of CPU threads.
        score: smallest score of objects.
    """
    torch.set_num_threads(threads)
    paths = [str(path) for path in find_images(images)]
    # A small folder is repeated.
    paths = (paths * -(-count // len(paths)))[:count]
    report: dict[str, Any] = {"command": command, "machine": describe_machine(torch.device("cpu")), "threads": threads}
    report["throughput"] = compare_with_inferencers(model, paths, batch, rounds, score)
    report["large photograph"] = measure_large_photograph(model, paths[0], out)
    write_atomically(out / "results.json", (json.dumps(report, indent=2, default=str) + "\n").encode())
    return report


def compare_with_inferencers(model: str, paths: Sequence[str], batch: int, rounds: int, score: float) -> dict[str, Any]:
    """Predict the same images with ``Predictor.predict`` and with OpenMMLab's inferencer of the same model, in turn.

    Returns:
        Seconds of both, and the median of the ratios; above 1 mmbeit3 is faster.
    """
    config, checkpoint = find_model(model)
    predictor = load_model(model)
    inferencer = _inferencer(predictor, str(config), str(checkpoint))
    ours, theirs = [], []
    for number in range(rounds + 1):
        pair = (
            _seconds(lambda: predictor.predict(list(paths), batch, score=score, show_progress=False)),
            _seconds(lambda: inferencer(list(paths), batch_size=batch)),
        )
        if number:
            ours.append(pair[0])
            theirs.append(pair[1])
            print(f"{len(paths)} images: mmbeit3 {pair[0]:.2f} s, {type(inferencer).__name__} {pair[1]:.2f} s", flush=True)
    ratio = median(b / a for a, b in zip(ours, theirs, strict=True))
    print(f"mmbeit3 is {ratio:.2f} times as fast (median of {rounds}), batch {batch}, score {score}")
    return {"images": len(paths), "batch": batch, "mmbeit3": ours, type(inferencer).__name__: theirs, "ratio": ratio}


def _inferencer(predictor: Predictor, config: str, checkpoint: str) -> Any:
    if predictor.cfg.default_scope == "mmseg":
        from mmseg.apis import MMSegInferencer

        inferencer = MMSegInferencer(config, checkpoint, device="cpu")
        inferencer.show_progress = False
        return inferencer
    from mmdet.apis import DetInferencer

    return DetInferencer(config, checkpoint, device="cpu", show_progress=False)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure_large_photograph(model: str, image: str, out: Path) -> dict[str, float]:
    """Predict and draw a photograph of 24 megapixels in a process of its own.

    Returns:
        ``megabytes``, the largest memory of the process, and ``seconds`` of prediction and drawing.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "large.jpg"
    write_image(path, cv2.resize(read_image(image), _LARGE[::-1], interpolation=cv2.INTER_CUBIC))
    code = "import sys; from benchmarks.prediction import _predict_large; _predict_large(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, model, str(path), str(out / "large_drawn.jpg")],
        capture_output=True, text=True, cwd=Path(__file__).resolve().parent.parent, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"the large photograph could not be predicted: {done.stderr.strip().splitlines()[-1]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"24 megapixels: {figures['megabytes']:.0f} MB at most, {figures['seconds']:.1f} s, {figures['found']:.0f} found")
    return figures


def _predict_large(model: str, image: str, out: str) -> None:
    predictor = load_model(model)
    start = time.perf_counter()
    result = predictor.predict(image, score=0.05)
    result.save(out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In kilobytes on Linux, in bytes on macOS.
    megabytes = peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    print(json.dumps({"megabytes": megabytes, "seconds": seconds, "found": len(result.to_coco())}))


def compare_tiles(model: str, coco_file: str, images: str, tile: int, count: int) -> dict[str, dict[str, float]]:
    """Paste images with objects into large empty ones, and detect them with and without tiles.

    Args:
        model: work dir of a training.
        coco_file: annotations of the images.
        images: folder of the images.
        tile: side of the windows.
        count: number of large images.

    Returns:
        For ``whole`` and ``tiles`` COCO's average precision in percent: of all objects, and of small ones (below 32 x 32
        pixels).
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, canvases = _paste(COCO(coco_file), Path(images), count)
    predictor = load_model(model)
    category_ids = [category["id"] for category in truth.dataset["categories"]]
    scores = {}
    for name, side in {"whole": None, "tiles": tile}.items():
        found = []
        for number, canvas in enumerate(canvases, 1):
            found += predictor.predict(canvas, score=0.05, batch_size=4, tile=side).to_coco(number, category_ids)
        if not found:
            scores[name] = {"AP": 0.0, "AP small": 0.0}
            continue
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.params.maxDets = [1, 100, 1000]
        evaluation.evaluate()
        evaluation.accumulate()
        # (IoU thresholds, recalls, categories, areas, numbers of detections)
        precision = evaluation.eval["precision"][..., -1]
        scores[name] = {what: 100 * float(_mean(precision[..., area])) for what, area in (("AP", 0), ("AP small", 1))}
    return scores


def _mean(precision: np.ndarray) -> float:
    known = precision[precision > -1]
    return float(known.mean()) if known.size else float("nan")


def _paste(source: Any, folder: Path, count: int) -> tuple[Any, list[np.ndarray]]:
    """Return the ground truth of the large images, and the images."""
    from pycocotools.coco import COCO

    random = np.random.default_rng(0)
    ids = sorted(source.imgs)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": source.dataset["categories"], "info": {}}
    canvases = []
    for number in range(1, count + 1):
        canvas = np.full((_CANVAS, _CANVAS, 3), 127, np.uint8)
        places = _places(random, source.imgs[ids[0]]["height"])
        for left, top in places:
            image = source.imgs[int(random.choice(ids))]
            canvas[top : top + image["height"], left : left + image["width"]] = read_image(folder / image["file_name"])
            for one in source.imgToAnns[image["id"]]:
                x, y, width, height = one["bbox"]
                annotation = {key: one[key] for key in ("category_id", "iscrowd", "area")}
                annotation |= {"id": len(content["annotations"]) + 1, "image_id": number}
                content["annotations"].append({**annotation, "bbox": [x + left, y + top, width, height]})
        content["images"].append({"id": number, "width": _CANVAS, "height": _CANVAS, "file_name": f"{number}.png"})
        canvases.append(canvas)
    truth = COCO()
    truth.dataset = content
    truth.createIndex()
    return truth, canvases


def _places(random: np.random.Generator, side: int) -> list[tuple[int, int]]:
    """Return upper left corners of images that do not overlap: a grid with a random shift in each cell."""
    cell = _CANVAS // 8
    cells = random.permutation(64)[:_PASTED]
    shifts = random.integers(0, max(1, cell - side), (_PASTED, 2))
    return [(int(c % 8) * cell + int(x), int(c // 8) * cell + int(y)) for c, (x, y) in zip(cells, shifts, strict=True)]
