"""Datasets that OpenMMLab does not have, transforms, and checks of a config's data."""
