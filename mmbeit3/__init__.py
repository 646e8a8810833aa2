"""BEiT-3 for OpenMMLab: the multiway network, its dense-prediction backbones, and what trains and evaluates them."""

__version__ = "0.1.0"
