"""Boxes for tests of the replacements."""

import torch


def random_boxes(n, seed, size=40.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 4, generator=generator) * size
    boxes = torch.cat([corners[:, :2], corners[:, :2] + 1 + corners[:, 2:] / 2], dim=1)
    return boxes, torch.rand(n, generator=generator)
