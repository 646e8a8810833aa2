# Statements about two images with the tiny BEiT-3 on the shapes dataset, on two CPU cores. Optimizer, schedule and initial
# weights are in _base_/tasks_shapes.py.
# Our choice: all values.
_base_ = ["../_base_/tasks_shapes.py", "../_base_/datasets/nlvr2.py"]
data = _base_.shapes
tokenizer = data + "/texts.spm"
model = dict(type="mmbeit3.BEiT3NLVR2")
encode = dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text", max_length=48, max_positions=62)
pack = dict(type="mmbeit3.PackTask", meta=("identifier", "gt_label"))
# No crops: they would change the number of objects, which the statements mention.
train_pipeline = [
    dict(
        type="mmpretrain.ApplyToList",
        scatter_key="img_path",
        collate_keys=["img"],
        transforms=[dict(type="mmbeit3.LoadImageOrFail"), dict(type="RandomFlip", prob=0.5)],
    ),
    encode,
    pack,
]
test_pipeline = [
    dict(
        type="mmpretrain.ApplyToList",
        scatter_key="img_path",
        collate_keys=["img", "unreadable"],
        transforms=[dict(type="mmbeit3.LoadImageOrGrey"), dict(type="Resize", scale=(128, 128))],
    ),
    encode,
    pack,
]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        data_root=data,
        ann_file="nlvr2/train.json",
        data_prefix=dict(img_path="nlvr2/images/train"),
        indices=15_200,  # of 16,000, so that training takes five minutes on two cores
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    dataset=dict(
        data_root=data, ann_file="nlvr2/dev.json", data_prefix=dict(img_path="nlvr2/images/dev"), pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
epochs = 1
_base_.param_scheduler[1].update(end=epochs, T_max=epochs)
train_cfg = dict(max_epochs=epochs, val_interval=epochs)
