"""Starting a whole model, such as a detector, from a file (``load_from``): of its own training, another's, or its network's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbeit3.checkpoint.integrity import check_finite
from mmbeit3.checkpoint.layouts import detect_layout
from mmbeit3.checkpoint.loading import LoadReport, fill
from mmbeit3.checkpoint.naming import list_names
from mmbeit3.checkpoint.reading import read_state_dict
from mmbeit3.checkpoint.wrapping import without_wrapper
from mmbeit3.errors import UserError

__all__ = ["start_from"]

_PARTS = ("backbone", "network")
"""What detectors and segmentors, and tasks and pretraining, call the part that layouts are known of."""


def start_from(model: nn.Module, source: str | Path | Mapping[str, Tensor]) -> LoadReport:
    """Fill a model from a file, as the start of another training, in place.

    The backbone or network is filled as :func:`~mmbeit3.checkpoint.load_checkpoint` does it, from a file of any known layout.
    If the file is of a whole model, the other parts are filled by name; of these, what has other sizes keeps its values, as the
    last layers of a detector for other classes.

    Args:
        model: the model.
        source: path or URL of a file, or a state dict.

    Returns:
        What was loaded, resized, missing and unused, and under ``left_out`` what had other sizes.

    Raises:
        UserError: if the file cannot be read, is of another network, has nothing for this model, or weights that are no
            numbers.
    """
    name = "state dict" if isinstance(source, Mapping) else f"'{source}'"
    state = dict(source) if isinstance(source, Mapping) else read_state_dict(source)
    target = model.state_dict(keep_vars=True)
    state, _ = without_wrapper(state, target)
    layout = detect_layout(state)
    if layout is not None and layout.name == "vit_adapter":
        state = layout.to_ours(state)
    part = next((part for part in _PARTS if isinstance(getattr(model, part, None), nn.Module)), None)
    prefix = f"{part}." if part else ""
    others = {key: state[key] for key in target if key in state and not (prefix and key.startswith(prefix))}
    fitting = {key: tensor for key, tensor in others.items() if tensor.shape == target[key].shape}
    # Before anything is written.
    check_finite(name, fitting.items())
    report = LoadReport(source=name, layout=layout.name if layout else "own")
    if part is not None:
        inner = {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}
        report = fill(getattr(model, part), inner or state, name)
        report.loaded = [prefix + key for key in report.loaded]
        report.missing = [prefix + key for key in report.missing]
        report.resized = {prefix + key: words for key, words in report.resized.items()}
    elif not others:
        raise UserError(
            f"checkpoint {name} has nothing for {type(model).__name__}: its names start like {list_names(list(state))}, the "
            f"model's like {list_names(list(target))}"
        )
    with torch.no_grad():
        for key, tensor in fitting.items():
            target[key].copy_(tensor)
    report.loaded += fitting
    report.left_out += [key for key in others if key not in fitting]
    report.missing += [
        key
        for key in target
        if key not in others and not (prefix and key.startswith(prefix)) and not key.endswith("num_batches_tracked")
    ]
    if others:
        outside = [key for key in state if key not in target and not (prefix and key.startswith(prefix))]
        report.unused = [prefix + key for key in report.unused] + outside
    return report
