"""BEiT-3 for OpenMMLab: the multiway network, its dense-prediction backbones, and what trains and evaluates them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmbeit3.resources import path_of

if TYPE_CHECKING:
    from mmbeit3.inference import load_model

__version__ = "0.1.0"
__all__ = ["__version__", "load_model", "path_of"]


def __getattr__(name: str) -> Any:
    # torch and OpenMMLab are imported at the first use of load_model only.
    if name == "load_model":
        from mmbeit3.inference import load_model

        return load_model
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
