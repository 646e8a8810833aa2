"""Before a release: the same models on mmcv's compiled operators and on ours, from the same weights and images.

    python -m tests.release.compiled_mmcv --source onedl_mmcv-2.3.6.tar.gz --build build/mmcv

It compiles mmcv's CPU operators against the installed PyTorch, into a folder of its own, in about five minutes on one core: the
files that allow it are merged, and nothing is optimised. Then whole detectors and segmentors compute losses, gradients and
predictions with either. See noxfile.py, which fetches the sources and calls this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]

LOSSES, GRADIENTS, BOXES = 1e-5, 1e-3, 1e-2
"""Largest differences that are allowed: of losses and gradients as a share, of boxes in pixels."""


def build(source: Path, folder: Path) -> Path:
    """Compile mmcv's operators; returns the folder that the module is in."""
    from torch.utils.cpp_extension import load

    target = folder / torch.__version__
    if list(target.glob("_ext*.so")):
        return target
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(source) as archive:
        archive.extractall(folder / "source", filter="data")
    (operators,) = (folder / "source").glob("*/mmcv/ops/csrc")
    # Those of the folder above share no names and can be one unit; the kernels do.
    bindings = target / "bindings.cpp"
    bindings.write_text("".join(f'#include "{path}"\n' for path in sorted((operators / "pytorch").glob("*.cpp"))))
    kernels = sorted(map(str, (operators / "pytorch" / "cpu").glob("*.cpp")))
    load(
        "_ext",
        [str(bindings), *kernels],
        extra_cflags=["-O0", "-g0"],
        extra_include_paths=[str(operators / "common"), str(operators / "pytorch")],
        build_directory=str(target),
        verbose=True,
    )
    return target


def models() -> dict[str, tuple[str, dict[str, object]]]:
    """Configs to compare, and what to change in them."""
    pyramid = {
        "backbone": {"_delete_": True, "type": "mmbeit3.BEiT3Vision", "arch": "tiny", "image_size": 128, "window_size": 4},
        "neck": {"_delete_": True, "type": "mmbeit3.SimpleFeaturePyramid", "in_channels": 192, "out_channels": 96},
    }
    return {
        "Mask R-CNN, adapter and FPN": ("shapes/mask-rcnn_beit3-adapter-t_shapes.py", {}),
        "Mask R-CNN, pyramid": ("shapes/mask-rcnn_beit3-adapter-t_shapes.py", pyramid),
        "Mask2Former, panoptic": ("overfit/mask2former_beit3-adapter-t_overfit_coco-panoptic.py", {}),
        "Mask2Former, segmentation": ("shapes/beit3-adapter-t_mask2former_shapes.py", {}),
    }


def compute(target: Path, operators: Path | None) -> None:
    """Write what all models compute, with compiled operators where a folder of them is given."""
    import mmcv

    if operators is not None:
        mmcv.__path__.append(str(operators))
    from mmbeit3.ops import mmcv_ext
    from mmbeit3.registry import MODELS

    assert mmcv_ext.is_compiled() == (operators is not None)
    from mmdet.testing import demo_mm_inputs
    from mmengine.config import Config, ConfigDict
    from mmengine.registry import init_default_scope

    torch.set_num_threads(1)
    outcomes = {}
    for name, (path, changes) in models().items():
        cfg = Config.fromfile(ROOT / "configs" / path)
        cfg.merge_from_dict({"model": changes})
        init_default_scope(cfg.default_scope)
        torch.manual_seed(0)
        model = MODELS.build(ConfigDict(cfg.model))
        if cfg.default_scope == "mmseg":
            data = _segmentation_batch(model)
        else:
            panoptic = "panoptic_head" in cfg.model
            data = demo_mm_inputs(
                2, [[3, 128, 160], [3, 120, 128]], num_items=[4, 5], num_classes=6, with_mask=True, with_semantic=panoptic
            )
        outcomes[name] = _outcome(model, data)
    torch.save(outcomes, target)


def _segmentation_batch(model: torch.nn.Module) -> dict[str, list[object]]:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for _ in range(2):
        inputs.append(torch.randint(256, (3, 128, 128), generator=generator, dtype=torch.uint8))
        sample = SegDataSample(metainfo={"img_shape": (128, 128), "ori_shape": (128, 128)})
        labels = torch.randint(9, (1, 16, 16), generator=generator).repeat_interleave(8, 1).repeat_interleave(8, 2)
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
    return {"inputs": inputs, "data_samples": samples}


def _outcome(model: torch.nn.Module, data: dict[str, object]) -> dict[str, dict[str, torch.Tensor]]:
    """Losses, gradients of the backbone and predictions."""
    model.train()
    torch.manual_seed(0)
    batch = model.data_preprocessor(data, True)
    total, losses = model.parse_losses(model(**batch, mode="loss"))
    total.backward()
    gradients = {name: p.grad.clone() for name, p in model.backbone.named_parameters() if p.grad is not None}
    model.eval()
    with torch.no_grad():
        found = model(**model.data_preprocessor(data, False), mode="predict")
    predictions = {}
    for number, sample in enumerate(found):
        for part in ("pred_instances", "pred_panoptic_seg", "pred_sem_seg"):
            for key, value in sample.get(part).items() if part in sample else ():
                predictions[f"{number}/{part}/{key}"] = torch.as_tensor(value).float()
    return {"losses": losses, "gradients": gradients, "predictions": predictions}


def compare(ours: dict[str, dict[str, dict[str, torch.Tensor]]], theirs: dict[str, dict[str, dict[str, torch.Tensor]]]) -> bool:
    """Print a row for each model; returns whether all differences are small."""
    good = True
    print(f"{'':28} {'losses':>10} {'gradients':>10} {'boxes, px':>10} {'other':>10}")
    for name, one in ours.items():
        other = theirs[name]
        losses = max(_share(one["losses"][key], other["losses"][key]) for key in one["losses"])
        gradients = max(_share(one["gradients"][key], other["gradients"][key]) for key in one["gradients"])
        boxes = rest = 0.0
        for key, value in one["predictions"].items():
            match = other["predictions"][key]
            difference = float("inf")
            if match.shape == value.shape:
                difference = float((match - value).abs().max()) if value.numel() else 0.0
            if key.endswith("bboxes"):
                boxes = max(boxes, difference)
            else:
                rest = max(rest, difference)
        good &= losses <= LOSSES and gradients <= GRADIENTS and boxes <= BOXES
        print(f"{name:28} {losses:10.1e} {gradients:10.1e} {boxes:10.1e} {rest:10.1e}")
    return good


def _share(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-12))


def main() -> None:
    """Build, compute with both in processes of their own, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="mmcv's source distribution, a .tar.gz")
    parser.add_argument("--build", type=Path, help="folder to compile in")
    parser.add_argument("--compute", type=Path, metavar="FILE", help="only write what the models compute")
    parser.add_argument("--operators", type=Path, help="folder of compiled operators to compute with")
    args = parser.parse_args()
    if args.compute:
        compute(args.compute, args.operators)
        return
    operators = build(args.source.resolve(), args.build.resolve())
    files = {}
    for name, options in (("ours", []), ("theirs", ["--operators", str(operators)])):
        files[name] = args.build / f"{name}.pt"
        command = [sys.executable, "-m", "tests.release.compiled_mmcv", "--compute", str(files[name]), *options]
        subprocess.run(command, check=True, cwd=ROOT)
    ours, theirs = (torch.load(files[name]) for name in ("ours", "theirs"))
    sys.exit(0 if compare(ours, theirs) else 1)


if __name__ == "__main__":
    main()
