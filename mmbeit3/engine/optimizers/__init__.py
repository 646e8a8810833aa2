"""Optimizer constructors."""

from mmbeit3.engine.optimizers.layer_decay import LayerDecayOptimWrapperConstructor, layer_depth, num_layers_of

__all__ = ["LayerDecayOptimWrapperConstructor", "layer_depth", "num_layers_of"]
