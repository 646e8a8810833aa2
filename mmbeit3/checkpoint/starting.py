"""Starting a whole model, such as a detector, from a file (``load_from``): of the same model, a similar one, or its network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mmbeit3.checkpoint.integrity import check_finite
from mmbeit3.checkpoint.layouts import detect_layout
from mmbeit3.checkpoint.loading import LoadReport, fill, no_weights_error, read_source
from mmbeit3.checkpoint.prefixes import owner_prefix, split_by_prefix
from mmbeit3.checkpoint.wrapping import without_wrapper

__all__ = ["start_from"]


def start_from(model: nn.Module, source: str | Path | Mapping[str, Tensor]) -> LoadReport:
    """Fill a model from a file to start another training, in place.

    The backbone or network is filled as by :func:`~mmbeit3.checkpoint.load_checkpoint`, from a file of any known layout. If
    the file has a whole model, the other parts are filled by name. Tensors of these parts that have another size in the file,
    such as a detector's last layers for other classes, keep the model's values.

    Args:
        model: the model.
        source: path or URL of a file, or a state dict.

    Returns:
        The loaded, resized, missing and unused names; ``left_out`` has the names with another size.

    Raises:
        UserError: if the file cannot be read, its network does not match, it has no weights for the model, or it has weights
            that are NaN or infinite.
    """
    tensors, name = read_source(source)
    target = model.state_dict(keep_vars=True)
    state, _ = without_wrapper(tensors, target)
    layout = detect_layout(state)
    if layout is not None and layout.name == "vit_adapter":
        state = layout.to_ours(state)
    prefix = owner_prefix(model)
    # A model without backbone or network is filled by name alone.
    by_name = [key for key in target if not (prefix and key.startswith(prefix))]
    others = {key: state[key] for key in by_name if key in state}
    fitting = {key: tensor for key, tensor in others.items() if tensor.shape == target[key].shape}
    # Checked before anything is written.
    check_finite(name, fitting.items())
    report = LoadReport(source=name, layout=layout.name if layout else "native")
    if prefix:
        inside, _ = split_by_prefix(state, prefix)
        report = fill(getattr(model, prefix.removesuffix(".")), inside or state, name)
        report.loaded = [prefix + key for key in report.loaded]
        report.missing = [prefix + key for key in report.missing]
        report.resized = {prefix + key: sizes for key, sizes in report.resized.items()}
    elif not others:
        raise no_weights_error(model, name, state, target)
    with torch.no_grad():
        for key, tensor in fitting.items():
            target[key].copy_(tensor)
    report.loaded += fitting
    report.left_out += [key for key in others if key not in fitting]
    report.missing += [key for key in by_name if key not in others and not key.endswith("num_batches_tracked")]
    if others:
        outside = [key for key in state if key not in target and not (prefix and key.startswith(prefix))]
        report.unused = [prefix + key for key in report.unused] + outside
    return report
