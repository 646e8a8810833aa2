"""Optimizer constructors."""

from mmbeit3.engine.optimizers.bfloat16 import BFloat16OptimWrapper, multiplies_bfloat16
from mmbeit3.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor, layer_depth, num_layers_of

__all__ = ["BFloat16OptimWrapper", "LayerDecayOptimWrapperConstructor", "layer_depth", "multiplies_bfloat16", "num_layers_of"]
