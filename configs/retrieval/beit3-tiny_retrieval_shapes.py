# Image-text retrieval with the tiny BEiT-3 on the shapes dataset, on two CPU cores. Optimizer, schedule and initial weights are
# in _base_/tasks_shapes.py.
# Our choice: all values.
_base_ = ["../_base_/tasks_shapes.py", "../_base_/datasets/coco_retrieval.py"]
data = _base_.shapes
tokenizer = data + "/texts.spm"
model = dict(type="mmbeit3.BEiT3Retrieval")
encode = dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="text", max_length=48, max_positions=62)
# No flips: they would swap left and right, which the captions mention.
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
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
# `indices` limits the 13,346 pairs, so that training takes five minutes on two cores.
train_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(_delete_=True, indices=12_000, pipeline=train_pipeline, **train)
)
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
