# Mask2Former with BEiT-3 base and ViT-Adapter on ADE20K: the 512 config with crops of 640. The stride of slide testing is two
# thirds of the crop, as ViT-Adapter's. Not trained here.
_base_ = "./beit3-adapter-b_mask2former_8xb2-160k_ade20k-512x512.py"
crop_size = (640, 640)
_base_.train_pipeline[2].scale = _base_.test_pipeline[1].scale = (2560, 640)
_base_.train_pipeline[3].crop_size = crop_size
_base_.tta_pipeline[1].transforms = [
    [dict(type="Resize", scale=(2560, s), keep_ratio=True) for s in (320, 480, 640, 800, 960, 1120)],
    *_base_.tta_pipeline[1].transforms[1:],
]
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(vit=dict(image_size=640)),
    test_cfg=dict(crop_size=crop_size, stride=(426, 426)),
)
