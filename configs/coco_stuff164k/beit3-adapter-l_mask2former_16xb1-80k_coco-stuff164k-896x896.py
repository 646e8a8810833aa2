# Mask2Former with a BEiT-3 large ViT-Adapter on COCO-Stuff-164k, crops of 896 x 896 pixels, 80k iterations: the stage before
# ADE20K. We have not trained it.
# Sources: first stage of ViT-Adapter's recipe for 896 pixels (BEiTv2-L: 52.3 mIoU): 80k iterations, 200 queries, learning rate
# 2e-5, layer decay 0.9, drop path 0.3.
_base_ = [
    "../_base_/models/mask2former_seg.py",
    "../_base_/models/mask2former_1024.py",
    "../_base_/models/adapter-l.py",
    "../_base_/datasets/coco-stuff164k.py",
    "../_base_/schedules/seg_160k.py",
]
num_classes = 171
width = 1024  # of the head
crop_size = (896, 896)
_base_.adapter.update(drop_path_rate=0.3, vit=dict(image_size=896, drop_path_rate=0.3))
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=_base_.pop("adapter"),
    decode_head=dict(
        _base_.pop("wide_head"),
        num_classes=num_classes,
        num_queries=200,
        loss_cls=dict(class_weight=[1.0] * num_classes + [0.1]),
    ),
    test_cfg=dict(mode="slide", crop_size=crop_size, stride=(512, 512)),
)
_base_.train_pipeline[2].scale = _base_.test_pipeline[1].scale = (3584, 896)
_base_.train_pipeline[3].crop_size = crop_size
_base_.tta_pipeline[1].transforms = [
    [dict(type="Resize", scale=(3584, s), keep_ratio=True) for s in (640, 768, 896)],
    *_base_.tta_pipeline[1].transforms[1:],
]
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=80000)
optim_wrapper = dict(optimizer=dict(lr=2e-5), paramwise_cfg=dict(layer_decay_rate=0.9))
_base_.param_scheduler[1].end = 80000
