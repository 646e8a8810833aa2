# Captioning with the tiny BEiT-3 on the shapes dataset, on two CPU cores. Optimizer, schedule and initial weights are in
# _base_/tasks_shapes.py.
# Our choice: all values.
_base_ = ["../_base_/tasks_shapes.py", "../_base_/datasets/coco_captions.py"]
data = _base_.shapes
tokenizer = data + "/texts.spm"
model = dict(
    type="mmbeit3.BEiT3Captioning",
    tokenizer=tokenizer,
    max_length=48,
)
# No flips: they would swap left and right, which the captions mention.
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="gt_caption", max_length=48, max_positions=62),
    dict(type="mmbeit3.PackTask", meta=("image_id",)),
]
test_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(128, 128)),
    dict(type="mmbeit3.PackTask", meta=("image_id", "gt_captions")),
]
train = dict(ann_file="captions_train2017.json", splits=("train",))
val = dict(ann_file="captions_val2017.json", splits=("val",))
# `indices` limits the 13,346 captions, so that training takes five minutes on two cores.
train_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(data_root=data, indices=12_000, pipeline=train_pipeline, **train)
)
val_dataloader = dict(batch_size=50, num_workers=1, dataset=dict(data_root=data, pipeline=test_pipeline, **val))
test_dataloader = val_dataloader
test_evaluator = dict(submission=None)
