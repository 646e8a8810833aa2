"""Models. Importing this package registers what OpenMMLab configs can name."""

from mmbeit3.models import backbones, layers

__all__ = ["backbones", "layers"]
