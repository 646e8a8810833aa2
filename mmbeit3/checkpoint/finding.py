"""Finding the file to read for a path: a file, a folder or an index of several files. Detects files that are no checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from mmbeit3.errors import UserError, one_line

__all__ = ["file_in_folder", "identify_file", "is_index", "read_index"]

_MOST_BYTES = 64 << 20
"""Largest index that is read. An index of a million tensors is smaller."""

_IN_FOLDER = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Names of weights or an index in a Hugging Face folder. The first existing file is read."""


def file_in_folder(folder: Path) -> Path:
    """Return the path of the weights, or of their index, in a folder that DeepSpeed or Hugging Face wrote.

    Raises:
        UserError: if the folder has neither.
    """
    latest = folder / "latest"
    # DeepSpeed writes a folder for each step. The file "latest" has the name of the newest one.
    step = latest.read_text(encoding="utf-8", errors="replace").strip() if latest.is_file() else ""
    if step and (step in (".", "..") or Path(step).name != step or not step.isprintable()):
        raise UserError(
            f"checkpoint folder '{folder}': its file 'latest' does not name a folder in it, but '{one_line(step)}'. Give the "
            "path of a step's folder"
        )
    for path in (folder / step / "mp_rank_00_model_states.pt", *(folder / name for name in _IN_FOLDER)):
        if path.is_file():
            return path
    raise UserError(
        f"checkpoint folder '{folder}' has no weights of DeepSpeed or Hugging Face (mp_rank_00_model_states.pt, "
        "model.safetensors, pytorch_model.bin or an index). Give the path of a file"
    )


def is_index(path: Path) -> bool:
    """Return True if a file is an index of Hugging Face: it lists the files that the weights are split into."""
    return path.name.endswith(".index.json")


def read_index(path: Path) -> dict[Path, set[str]]:
    """Read an index of weights.

    Returns:
        Paths of the files, which are in the index's folder, to the names of their tensors.

    Raises:
        UserError: if the file is not an index, or lists a file that is missing or in another folder.
    """
    try:
        with path.open("rb") as file:
            files_of = json.loads(file.read(_MOST_BYTES))["weight_map"]
        if not isinstance(files_of, dict) or not files_of:
            raise TypeError("its weight_map is not an object with entries")
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise UserError(f"'{path}' is not an index of weights ({one_line(error)}). Download or copy it again") from error
    files: dict[Path, set[str]] = {}
    for name, file_name in files_of.items():
        if not isinstance(file_name, str) or Path(file_name).name != file_name or not file_name.isprintable():
            raise UserError(
                f"index '{path}' lists '{one_line(file_name)}', which is not the name of a file in its folder. Download or "
                "copy the index again"
            )
        files.setdefault(path.parent / file_name, set()).add(name)
    if missing := [shard.name for shard in files if not shard.is_file()]:
        raise UserError(
            f"checkpoint '{path.parent}' is incomplete: its index lists '{missing[0]}', which does not exist "
            f"({len(missing)} of {len(files)} files are missing). Download or copy all files"
        )
    return files


def identify_file(path: Path) -> str | None:
    """Identify a file that is often mistaken for a checkpoint.

    Returns:
        What the file is and what to do, as the end of a message, or None if the file may be a checkpoint.
    """
    with path.open("rb") as file:
        head = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        return "is empty. Download or copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer instead of the file. Run 'git lfs pull', or download the file"
    if head[:9].lower() == b"<!doctype" or head[:5].lower() in (b"<html", b"<?xml"):
        return "is a web page instead of the file. Give the download address of the file, and log in if the site requires it"
    if head[:1] in b"{[" and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "is JSON text without weights. Give the .safetensors or .pth file"
    return None
