"""Models. Importing this package registers what OpenMMLab configs can name."""

from mmbeit3.models import backbones, layers, necks, test_time_augs

__all__ = ["backbones", "layers", "necks", "test_time_augs"]
