"""Names of the corruptions of ImageNet-C. Imports no other package."""

__all__ = ["CORRUPTIONS", "SEVERITIES"]

CORRUPTIONS = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
"""The fifteen corruptions of ImageNet-C (arXiv 1903.12261): noise, blur, weather, digital."""

SEVERITIES = (1, 2, 3, 4, 5)
"""Severities of ImageNet-C, from mild to strong."""
