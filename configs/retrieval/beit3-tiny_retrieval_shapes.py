# Retrieval on the made shapes dataset, from a tiny BEiT-3 that tools/pretrain_demo.py pretrained, on two CPU cores. Numbers are ours.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/coco_retrieval.py"]
data = "data/shapes"
tokenizer = data + "/texts.spm"
pretrained = "work_dirs/pretrain-demo/pretraining/iter_1000.pth"
model = dict(
    type="mmbeit3.BEiT3Retrieval",
    network=dict(arch=dict(base="tiny", image_size=128, vocab_size=64)),
    init_cfg=dict(type="Pretrained", checkpoint=pretrained),
)
encode = dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text", max_positions=62)
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    dict(type="RandomFlip", prob=0.5),
    encode,
    dict(type="mmbeit3.PackTask", meta=("image_id", "text_id")),
]
image_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(128, 128)),
    dict(type="mmbeit3.PackTask", meta=("image_id",)),
]
text_pipeline = [encode, dict(type="mmbeit3.PackTask", meta=("image_id", "text_id"))]
train = dict(type="mmbeit3.KarpathyRetrieval", data_root=data, ann_file="captions_train2017.json", splits=("train",))
val = dict(type="mmbeit3.KarpathyRetrieval", data_root=data, ann_file="captions_val2017.json", splits=("val",), test_mode=True)
train_dataloader = dict(batch_size=64, num_workers=1, dataset=dict(_delete_=True, pipeline=train_pipeline, **train))
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    dataset=dict(
        datasets=[
            dict(entries="images", pipeline=image_pipeline, **val),
            dict(entries="texts", pipeline=text_pipeline, **val),
        ]
    ),
)
test_dataloader = val_dataloader
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05),
    constructor="mmbeit3.LayerDecayOptimWrapperConstructor",
    paramwise_cfg=dict(layer_decay_rate=0.8),
    clip_grad=dict(max_norm=3.0),
)
epochs = 3
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=1, end=epochs, T_max=epochs - 1, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs, val_interval=1)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(max_keep_ckpts=2))
env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend="gloo"))
