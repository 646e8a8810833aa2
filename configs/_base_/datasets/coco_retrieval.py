# Image-text retrieval on COCO in Karpathy's splits, images of 384 x 384 pixels. Evaluation encodes each image and each text
# once.
_base_ = ["./loaders.py", "./image_text.py"]
image_size = 384
_base_.load_train[1].scale, _base_.load_test[1].scale = image_size, (image_size, image_size)
text_pipeline = [
    dict(type="mmbeit3.EncodeText", tokenizer=_base_.tokenizer, key="text"),
    dict(type="mmbeit3.PackTask", meta=("image_id", "text_id")),
]
train_pipeline = [*_base_.pop("load_train"), *text_pipeline]
image_pipeline = [*_base_.pop("load_test"), dict(type="mmbeit3.PackTask", meta=("image_id",))]
data = dict(type="mmbeit3.KarpathyRetrieval", data_root="data/coco", ann_file="dataset_coco.json")
train_dataloader = dict(
    batch_size=192,
    dataset=dict(splits=("train", "restval"), pipeline=train_pipeline, **data),
)
val_dataloader, test_dataloader = (
    dict(
        batch_size=192,
        dataset=dict(
            type="ConcatDataset",
            datasets=[
                dict(splits=(split,), entries="images", test_mode=True, pipeline=image_pipeline, **data),
                dict(splits=(split,), entries="texts", test_mode=True, pipeline=text_pipeline, **data),
            ],
        ),
    )
    for split in ("val", "test")
)
val_evaluator = dict(type="mmbeit3.ImageTextRecall")
test_evaluator = val_evaluator
