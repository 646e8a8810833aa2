"""Datasets that OpenMMLab does not have, and checks of those that it reads."""
