"""BEiT-3 for OpenMMLab: the multiway network, its dense-prediction backbones, and what trains and evaluates them."""

from mmbeit3.resources import path_of

__version__ = "0.1.0"
__all__ = ["__version__", "path_of"]
