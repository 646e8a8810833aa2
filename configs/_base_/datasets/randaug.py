# RandAugment's operations as in the released code for captioning and VQA. Images are shifted by up to 10 of 480 pixels.
randaug_policies = [
    dict(type="mmpretrain.AutoContrast", prob=0.0),  # never applied: the identity of the released code
    dict(type="mmpretrain.AutoContrast"),
    dict(type="mmpretrain.Equalize"),
    dict(type="mmpretrain.Brightness", magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type="mmpretrain.Sharpness", magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="vertical"),
    dict(type="mmpretrain.Rotate", magnitude_range=(0, 30)),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 10 / 480), direction="horizontal"),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 10 / 480), direction="vertical"),
]
