"""Models. Importing this package registers what OpenMMLab configs can name."""

from mmbeit3.models import backbones, layers, necks

__all__ = ["backbones", "layers", "necks"]
