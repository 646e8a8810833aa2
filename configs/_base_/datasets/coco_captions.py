# COCO's captions in Karpathy's splits, images of 480 x 480 pixels. Our own code computes the scores. For METEOR, ROUGE-L and
# SPICE, set backend="pycocoevalcap".
_base_ = ["./loaders.py", "./image_text.py", "./randaug.py"]
train_pipeline = [
    *_base_.pop("load_train"),
    dict(type="mmpretrain.RandAugment", policies=_base_.randaug_policies, num_policies=2, magnitude_level=7),
    dict(type="mmbeit3.EncodeText", tokenizer=_base_.tokenizer, key="gt_caption", max_length=32),
    dict(type="mmbeit3.PackTask", meta=("image_id",)),
]
test_pipeline = [*_base_.pop("load_test"), dict(type="mmbeit3.PackTask", meta=("image_id", "gt_captions"))]
karpathy = dict(type="mmbeit3.KarpathyCaptions", data_root="data/coco", ann_file="dataset_coco.json")
train_dataloader = dict(
    batch_size=32,
    dataset=dict(splits=("train", "restval"), pipeline=train_pipeline, **karpathy),
)
val_dataloader = dict(
    batch_size=48,
    dataset=dict(splits=("val",), test_mode=True, pipeline=test_pipeline, **karpathy),
)
test_dataloader = dict(
    batch_size=48,
    dataset=dict(splits=("test",), test_mode=True, pipeline=test_pipeline, **karpathy),
)
val_evaluator = dict(type="mmbeit3.CaptionScores")
test_evaluator = dict(type="mmbeit3.CaptionScores", submission="work_dirs/coco_captions_test.json")
