"""Finding the file that a path means: in a folder, behind an index, or one that is no checkpoint at all."""

from __future__ import annotations

import json
from pathlib import Path

from mmbeit3.errors import UserError, one_line

__all__ = ["file_in_folder", "is_index", "read_index", "what_it_is"]

_MOST_BYTES = 64 << 20
"""Of an index: one of a million tensors is smaller."""

_IN_FOLDER = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""What a folder of Hugging Face's hub may have, in the order in which it is looked for."""


def file_in_folder(folder: Path) -> Path:
    """The file with the weights, or the index of several, in a folder of DeepSpeed's or Hugging Face's.

    Raises:
        UserError: if there is none.
    """
    latest = folder / "latest"
    # DeepSpeed's: a folder for each step, the newest named in a file.
    step = latest.read_text(encoding="utf-8", errors="replace").strip() if latest.is_file() else ""
    if step and (step in (".", "..") or Path(step).name != step or not step.isprintable()):
        raise UserError(f"checkpoint folder '{folder}': its file 'latest' names no folder in it ({one_line(step)})")
    for path in (folder / step / "mp_rank_00_model_states.pt", *(folder / name for name in _IN_FOLDER)):
        if path.is_file():
            return path
    raise UserError(
        f"checkpoint folder '{folder}' is none of DeepSpeed or Hugging Face (it has neither mp_rank_00_model_states.pt nor "
        "model.safetensors, pytorch_model.bin or an index of them): give the path of a file"
    )


def is_index(path: Path) -> bool:
    """Whether a file names the files that weights are spread over, as Hugging Face writes it."""
    return path.name.endswith(".index.json")


def read_index(path: Path) -> dict[Path, set[str]]:
    """The files that an index names, beside it, and which tensors each holds.

    Raises:
        UserError: if it is no index, names a file elsewhere, or one that is missing.
    """
    try:
        with path.open("rb") as file:
            places = json.loads(file.read(_MOST_BYTES))["weight_map"]
        if not isinstance(places, dict) or not places:
            raise TypeError("its weight_map is no object with entries")
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise UserError(f"'{path}' is no index of weights ({one_line(error)}): copy it again") from error
    files: dict[Path, set[str]] = {}
    for name, file_name in places.items():
        if not isinstance(file_name, str) or Path(file_name).name != file_name or not file_name.isprintable():
            raise UserError(f"index '{path}' names '{one_line(file_name)}', which is no file beside it: copy it again")
        files.setdefault(path.parent / file_name, set()).add(name)
    if missing := [shard.name for shard in files if not shard.is_file()]:
        raise UserError(
            f"checkpoint '{path.parent}' is incomplete: '{missing[0]}', which its index names, is not there "
            f"({len(missing)} of {len(files)} files are missing); download or copy them all"
        )
    return files


def what_it_is(path: Path) -> str | None:
    """What a file is that is often taken for a checkpoint, and what to do; None if it is none of these."""
    with path.open("rb") as file:
        head = file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
    if not head:
        return "is empty: download or copy it again"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, which stands for the file: run 'git lfs pull', or download the file itself"
    if head[:9].lower() == b"<!doctype" or head[:5].lower() in (b"<html", b"<?xml"):
        return "is a web page: give the address of the file itself, and log in where that is asked for"
    if head[:1] in b"{[" and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in head):
        return "is JSON text without weights: give the .safetensors or .pth file"
    return None
