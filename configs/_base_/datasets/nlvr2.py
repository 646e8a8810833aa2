# NLVR2 at 224 x 224 pixels. Training images are in images/train/DIRECTORY, those of dev and test-P (test1.json) in images/dev
# and images/test1. Annotations come from the repository lil-lab/nlvr.
_base_ = ["./loaders.py", "./image_text.py"]
image_size = 224
_base_.load_train[1].scale, _base_.load_test[1].scale = image_size, (image_size, image_size)
__both = dict(type="mmpretrain.ApplyToList", scatter_key="img_path")
__text = [
    dict(type="mmbeit3.EncodeText", tokenizer=_base_.tokenizer, key="text"),
    dict(type="mmbeit3.PackTask", meta=("identifier", "gt_label")),
]
train_pipeline = [dict(collate_keys=["img"], transforms=_base_.pop("load_train"), **__both), *__text]
test_pipeline = [dict(collate_keys=["img", "unreadable"], transforms=_base_.pop("load_test"), **__both), *__text]
__data = dict(type="mmbeit3.NLVR2", data_root="data/nlvr2")
train_dataloader = dict(
    batch_size=32,
    dataset=dict(ann_file="data/train.json", data_prefix=dict(img_path="images/train"), pipeline=train_pipeline, **__data),
)
val_dataloader, test_dataloader = (
    dict(
        batch_size=48,
        dataset=dict(
            ann_file=f"data/{split}.json",
            data_prefix=dict(img_path=f"images/{split}"),
            test_mode=True,
            pipeline=test_pipeline,
            **__data,
        ),
    )
    for split in ("dev", "test1")
)
val_evaluator = dict(type="mmbeit3.LabelAccuracy")
test_evaluator = val_evaluator
