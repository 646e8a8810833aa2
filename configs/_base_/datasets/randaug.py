# RandAugment's operations as the released code has them for captioning and VQA. Translations are by up to 10 pixels of 480.
randaug_policies = [
    dict(type="mmpretrain.AutoContrast", prob=0.0),  # the identity, one of the released code's operations
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
