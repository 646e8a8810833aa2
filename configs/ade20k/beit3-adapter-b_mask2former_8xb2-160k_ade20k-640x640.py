# Mask2Former with a BEiT-3 base ViT-Adapter on ADE20K, crops of 640 x 640 pixels, 160k iterations. We have not trained it.
# Differs from beit3-adapter-b_mask2former_8xb2-160k_ade20k-512x512.py in: the crop size.
# Source: ViT-Adapter: the stride of sliding-window testing is two thirds of the crop.
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
