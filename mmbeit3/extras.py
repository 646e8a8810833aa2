"""Check for optional packages, and name the extra that installs a missing one."""

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
        ImportError: with the names of the missing packages and the command that installs them.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ImportError(_message(missing), name=missing[0])


def explain(error: ImportError) -> str | None:
    """Return a line that says what to install after an import failed, or None if that is not known.

    The message of an error from :func:`require` already says it.
    """
    package = (error.name or "").partition(".")[0]
    if package == "cv2":
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"cannot be loaded ({one_line(error)})"
        return f"OpenCV {reason}: pip install opencv-python, or opencv-python-headless if there is no display"
    if "pip install" in str(error):
        return one_line(error, limit=1000)
    return _message([package]) if package in _EXTRAS else None


def _message(missing: list[str]) -> str:
    extras = sorted({_EXTRAS.get(package, "all") for package in missing})
    message = f"{', '.join(missing)} cannot be imported: pip install 'mmbeit3[{','.join(extras)}]'"
    if any(package in _OPENMMLAB for package in missing):
        message += " (the maintained onedl-* forks), or install the original OpenMMLab packages"
    return message
