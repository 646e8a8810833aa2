# VQAv2 at 480 pixels. Training is on the train and val splits without 1000 images of the latter, which validate; the test split's
# answers go to the EvalAI server. tools/build_answers.py makes the list of answers.
image_size = 480
tokenizer = "checkpoints/beit3.spm"
answers = "data/coco/vqa/answer2label.txt"
randaug_policies = [
    dict(type="mmpretrain.AutoContrast", prob=0.0),  # the identity, one of the released code's operations
    dict(type="mmpretrain.AutoContrast"),
    dict(type="mmpretrain.Equalize"),
    dict(type="mmpretrain.Brightness", magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type="mmpretrain.Sharpness", magnitude_range=(-0.9, 0.9), random_negative_prob=0.0),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    dict(type="mmpretrain.Shear", magnitude_range=(0, 0.3), direction="vertical"),
    dict(type="mmpretrain.Rotate", magnitude_range=(0, 30)),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 10 / image_size), direction="horizontal"),
    dict(type="mmpretrain.Translate", magnitude_range=(0, 10 / image_size), direction="vertical"),
]
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    dict(
        type="mmpretrain.RandomResizedCrop",
        scale=image_size,
        crop_ratio_range=(0.5, 1.0),
        backend="pillow",
        interpolation="bicubic",
    ),
    dict(type="RandomFlip", prob=0.5),
    dict(type="mmpretrain.RandAugment", policies=randaug_policies, num_policies=2, magnitude_level=7),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="question"),
    dict(type="mmbeit3.VQALabels", answers=answers, drop_unlabelled=True),
    dict(type="mmbeit3.PackTask", meta=("question_id", "labels", "scores")),
]
test_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(image_size, image_size), backend="pillow", interpolation="bicubic"),
    dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="question"),
    dict(type="mmbeit3.PackTask", meta=("question_id", "gt_answers")),
]
train2014 = dict(
    type="mmbeit3.VQAv2",
    data_root="data/coco",
    data_prefix=dict(img_path="train2014"),
    question_file="vqa/v2_OpenEnded_mscoco_train2014_questions.json",
    ann_file="vqa/v2_mscoco_train2014_annotations.json",
    pipeline=train_pipeline,
)
val2014 = dict(
    type="mmbeit3.VQAv2",
    data_root="data/coco",
    data_prefix=dict(img_path="val2014"),
    question_file="vqa/v2_OpenEnded_mscoco_val2014_questions.json",
    ann_file="vqa/v2_mscoco_val2014_annotations.json",
)
loader = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type="mmbeit3.collate_samples"))
train_dataloader = dict(
    batch_size=16,
    sampler=dict(type="DefaultSampler", shuffle=True),
    drop_last=True,
    dataset=dict(type="ConcatDataset", datasets=[train2014, dict(part="trainable", pipeline=train_pipeline, **val2014)]),
    **loader,
)
val_dataloader = dict(
    batch_size=24,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(part="held_out", test_mode=True, pipeline=test_pipeline, **val2014),
    **loader,
)
test_dataloader = dict(
    batch_size=24,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="mmbeit3.VQAv2",
        data_root="data/coco",
        data_prefix=dict(img_path="test2015"),
        question_file="vqa/v2_OpenEnded_mscoco_test2015_questions.json",
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **loader,
)
val_evaluator = dict(type="mmbeit3.VQAScore")
test_evaluator = dict(type="mmbeit3.VQAScore", submission="work_dirs/vqav2_test2015.json")
