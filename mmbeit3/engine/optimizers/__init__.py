"""Optimizer wrappers and their constructors."""

from mmbeit3.engine.optimizers.autocast import BFloat16OptimWrapper
from mmbeit3.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor, layer_depth, num_layers_of

__all__ = ["BFloat16OptimWrapper", "LayerDecayOptimWrapperConstructor", "layer_depth", "num_layers_of"]
