"""Datasets that OpenMMLab does not have, transforms, and checks of the data that it reads."""
