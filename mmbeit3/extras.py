"""What is not installed with the package alone, and which extra brings it."""

from __future__ import annotations

from importlib.util import find_spec

from mmbeit3.errors import one_line

__all__ = ["explain", "require"]

_OPENMMLAB = {"mmengine": "det", "mmcv": "det", "mmdet": "det", "mmseg": "seg", "mmpretrain": "tasks"}
_EXTRAS = {**_OPENMMLAB, "pycocotools": "det", "sentencepiece": "tasks", "webdataset": "pretrain", "gradio": "app"}
_EXTRAS |= dict.fromkeys(("onnx", "onnxruntime", "onnxscript"), "export")


def require(*packages: str) -> None:
    """Check that packages can be imported, without importing them.

    Args:
        *packages: import names, e.g. ``'mmdet'``.

    Raises:
        ImportError: naming what is missing and what to install.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ImportError(_message(missing), name=missing[0])


def explain(error: ImportError) -> str | None:
    """What to install so that an import does not fail again; None if that is not known.

    An error of :func:`require` says it itself.
    """
    package = (error.name or "").partition(".")[0]
    if package == "cv2":
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({one_line(error)})"
        return f"OpenCV {reason}: pip install opencv-python, or in its place opencv-python-headless where there is no display"
    if "pip install" in str(error):
        return one_line(error, limit=1000)
    return _message([package]) if package in _EXTRAS else None


def _message(missing: list[str]) -> str:
    extras = sorted({_EXTRAS.get(package, "all") for package in missing})
    message = f"{', '.join(missing)} cannot be imported: pip install 'mmbeit3[{','.join(extras)}]'"
    if any(package in _OPENMMLAB for package in missing):
        message += " (the maintained onedl-* forks), or install the original OpenMMLab packages"
    return message
