# Image classification with the tiny BEiT-3 on single objects of the shapes dataset, on two CPU cores. Optimizer, schedule and
# initial weights are in _base_/tasks_shapes.py.
# Our choice: all values.
_base_ = ["../_base_/tasks_shapes.py", "../_base_/datasets/imagenet.py"]
data = _base_.shapes
image_size = 64  # most crops are smaller
model = dict(
    type="mmbeit3.BEiT3Classification",
    network=dict(arch=dict(_delete_=True, base="tiny", image_size=image_size), num_classes=6),
    mixup=0,
    cutmix=0,
    # The same normalisation as in pretraining.
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
)
classes = ("circle", "crescent", "cross", "square", "star", "triangle")  # in the order of the folders
resize = dict(type="Resize", scale=(image_size, image_size))
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    resize,
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmbeit3.PackTask", meta=("gt_label",)),
]
test_pipeline = [dict(type="mmbeit3.LoadImageOrGrey"), resize, dict(type="mmbeit3.PackTask", meta=("gt_label",))]
dataset = dict(data_root=data + "/classes", metainfo=dict(classes=classes))
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = dict(batch_size=50, num_workers=1, dataset=dict(pipeline=test_pipeline, **dataset))
test_dataloader = val_dataloader
val_evaluator = dict(topk=(1,))
test_evaluator = val_evaluator
epochs = 10
_base_.param_scheduler[1].update(end=epochs, T_max=epochs)
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
