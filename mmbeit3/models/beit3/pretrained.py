"""Save a network to a folder and load it, like Hugging Face's ``save_pretrained`` and ``from_pretrained``."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbeit3.checkpoint import load_checkpoint
from mmbeit3.checkpoint.folder import read_folder, write_folder
from mmbeit3.errors import UserError
from mmbeit3.models.beit3.arch import Arch
from mmbeit3.models.beit3.model import BEiT3

__all__ = ["from_pretrained", "save_pretrained"]

_KIND = "beit3"
_CONFIG = frozenset({"arch", "final_norm"})
_KINDS = {"int": int, "float": float, "str": str}


def save_pretrained(model: BEiT3, folder: str | Path, card: str | None = None) -> None:
    """Write a network as a folder with ``config.json``, ``model.safetensors`` and ``README.md``.

    Args:
        model: the network. Its weights are written in their current dtype.
        folder: created if it does not exist.
        card: text of the model card, ``README.md``. Default: a few lines on how to load the network.

    Raises:
        UserError: if weights are NaN or infinite, or have a type that safetensors does not support.
    """
    final_norm = not isinstance(model.vision.norm, nn.Identity)
    config = {"arch": asdict(model.arch), "final_norm": final_norm}
    write_folder(folder, _KIND, config, model.state_dict(), card if card is not None else _card(model))


def from_pretrained(folder: str | Path, dtype: torch.dtype | None = None) -> BEiT3:
    """Load a network that :func:`save_pretrained` wrote. It works offline and runs no code from the folder.

    Args:
        folder: a folder on disk.
        dtype: dtype of the weights; default as stored.

    Returns:
        The network, in evaluation mode.

    Raises:
        UserError: if a file or setting in the folder is missing, damaged or unknown, or the weights do not match config.json.
    """
    config, state = read_folder(folder, _KIND, _CONFIG)
    where = Path(folder) / "config.json"
    arch, final_norm = _read_arch(config.get("arch"), where), config.get("final_norm", True)
    if not isinstance(final_norm, bool):
        raise UserError(f"'{where}': final_norm must be true or false, not {final_norm!r}")
    _check_sizes(arch, state, where)
    with torch.device("meta"):
        model = BEiT3(arch, final_norm=final_norm)
    stored = {tensor.dtype for tensor in state.values()}
    model.to_empty(device="cpu").to(dtype or (stored.pop() if len(stored) == 1 else torch.float32))
    report = load_checkpoint(model, state)
    if report.missing or report.unused or report.resized:
        raise UserError(f"folder '{folder}': config.json does not match the weights: {report}; save the model again")
    return model.eval()


def _read_arch(values: object, where: Path) -> Arch:
    if not isinstance(values, dict):
        raise UserError(f"'{where}': arch must be an object with sizes")
    known = {field.name: _KINDS[str(field.type)] for field in fields(Arch)}
    if unknown := sorted(set(values) - known.keys()):
        raise UserError(f"'{where}': arch has unknown {', '.join(map(repr, unknown))}; use only {', '.join(sorted(known))}")
    if wrong := [name for name, value in values.items() if type(value) is not known[name]]:
        raise UserError(f"'{where}': arch.{wrong[0]} must be {known[wrong[0]].__name__}, not {values[wrong[0]]!r}")
    try:
        return Arch(**values)
    except (TypeError, ValueError) as error:
        raise UserError(f"'{where}': {error}") from error


def _check_sizes(arch: Arch, state: dict[str, Tensor], where: Path) -> None:
    """Compare sizes with the weights before anything is built: wrong sizes could take any amount of memory."""
    grid = arch.position_grid()
    wanted = {
        "vision.embed.positions": (3 + grid[0] * grid[1], arch.embed_dims),
        "vision.embed.proj.weight": (arch.embed_dims, 3, arch.patch_size, arch.patch_size),
        "language.embed.positions": (arch.max_text_positions, arch.embed_dims),
        "language.embed.words.weight": (arch.vocab_size, arch.embed_dims),
        "vision.layers.0.ffn.fc1.weight": (arch.ffn_dims, arch.embed_dims),
        f"vision.layers.{arch.num_layers - 1}.ffn.fc1.weight": (arch.ffn_dims, arch.embed_dims),
    }
    for name, shape in wanted.items():
        found = tuple(state[name].shape) if name in state else None
        if found != shape:
            raise UserError(f"'{where}' does not match model.safetensors: {name} is {found or 'missing'}, should be {shape}")


def _card(model: BEiT3) -> str:
    sizes = "\n".join(f"| {name} | {value} |" for name, value in asdict(model.arch).items())
    return (
        "---\nlibrary_name: mmbeit3\n---\n\n# BEiT-3\n\nWeights of [BEiT-3](https://arxiv.org/abs/2208.10442) "
        "in mmbeit3's layout.\n\n```python\nfrom mmbeit3.models.beit3 import from_pretrained\n\n"
        f'model = from_pretrained("this/folder")\n```\n\n| | |\n|---|---|\n{sizes}\n'
    )
