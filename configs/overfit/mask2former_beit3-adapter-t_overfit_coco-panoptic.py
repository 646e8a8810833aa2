# Mask2Former for panoptic segmentation with a tiny BEiT-3 ViT-Adapter on a few COCO images, from random weights on two CPU
# cores. A check that takes minutes: are annotations read correctly, and do all parts of the model learn? The same images are
# used for training and evaluation, so the score says nothing about other images.
# Differs from ../coco/mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py in: a smaller model, the data, the image size,
# and 350 iterations.
# Our choice: all values.
_base_ = ["../coco/mask2former_beit3-adapter-b_8xb2-lsj-50e_coco-panoptic.py", "../_base_/models/adapter-t.py"]
data_root = "data/coco_few/"
panoptic = dict(
    data_root=data_root,
    ann_file="annotations/panoptic_val2017.json",
    data_prefix=dict(img="val2017/", seg="annotations/panoptic_val2017/"),
)
width = 128
attention = dict(embed_dims=width)
__ffn = dict(embed_dims=width, feedforward_channels=4 * width)
__positions = dict(num_feats=width // 2)
_base_.adapter.vit.update(image_size=480, window_size=0, global_indices=(), drop_path_rate=0.0, init_cfg=None)
model = dict(
    data_preprocessor=dict(batch_augments=None),
    backbone=dict(_base_.pop("adapter"), drop_path_rate=0.0),
    panoptic_head=dict(
        in_channels=[192] * 4,
        feat_channels=width,
        out_channels=width,
        num_queries=60,
        pixel_decoder=dict(
            encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=__ffn)),
            positional_encoding=__positions,
        ),
        positional_encoding=__positions,
        transformer_decoder=dict(
            num_layers=3, layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=attention, ffn_cfg=__ffn)
        ),
    ),
    train_cfg=dict(num_points=4096),
)
train_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="mmbeit3.LoadPanopticAnnotations"),
    dict(type="Resize", scale=(480, 480), keep_ratio=True),
    dict(type="PackDetInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", scale=(480, 480), keep_ratio=True),
    dict(type="mmbeit3.LoadPanopticAnnotations"),
    dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    sampler=dict(_delete_=True, type="InfiniteSampler"),
    batch_sampler=None,
    dataset=dict(pipeline=train_pipeline, **panoptic),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **panoptic))
test_dataloader = val_dataloader
val_evaluator = _base_.val_evaluator
val_evaluator[0].update(
    ann_file=data_root + "annotations/panoptic_val2017.json", seg_prefix=data_root + "annotations/panoptic_val2017/"
)
val_evaluator[1].ann_file = data_root + "annotations/instances_val2017.json"
test_evaluator = val_evaluator

max_iters = 350
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=max_iters, val_interval=max_iters)
optim_wrapper = dict(
    optimizer=dict(lr=6e-4, betas=(0.9, 0.98)), paramwise_cfg=dict(layer_decay_rate=1.0), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=False, begin=0, end=max_iters, T_max=max_iters),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=max_iters, max_keep_ckpts=2))
env_cfg = dict(dist_cfg=dict(backend="gloo"))
