"""Models. ``beit3`` is plain PyTorch; the other packages are OpenMMLab's parts, which :mod:`mmbeit3.registry` finds by name."""
