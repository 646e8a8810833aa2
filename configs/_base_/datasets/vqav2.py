# VQAv2 at 480 x 480 pixels. Trained on the train and val splits except for 1000 images of val, which are used for validation.
# Answers for the test split are written to a file for the EvalAI server. tools/build_answers.py makes the list of answers.
_base_ = ["./loaders.py", "./image_text.py", "./randaug.py"]
answers = "data/coco/vqa/answer2label.txt"
train_pipeline = [
    *_base_.pop("load_train"),
    dict(type="mmpretrain.RandAugment", policies=_base_.randaug_policies, num_policies=2, magnitude_level=7),
    dict(type="mmbeit3.EncodeText", tokenizer=_base_.tokenizer, key="question"),
    dict(type="mmbeit3.VQALabels", answers=answers, drop_unlabelled=True),
    dict(type="mmbeit3.PackTask", meta=("question_id", "labels", "scores")),
]
test_pipeline = [
    *_base_.pop("load_test"),
    dict(type="mmbeit3.EncodeText", tokenizer=_base_.tokenizer, key="question"),
    dict(type="mmbeit3.PackTask", meta=("question_id", "gt_answers")),
]
__coco = dict(type="mmbeit3.VQAv2", data_root="data/coco")
train2014 = dict(
    data_prefix=dict(img_path="train2014"),
    question_file="vqa/v2_OpenEnded_mscoco_train2014_questions.json",
    ann_file="vqa/v2_mscoco_train2014_annotations.json",
    pipeline=train_pipeline,
    **__coco,
)
val2014 = dict(
    data_prefix=dict(img_path="val2014"),
    question_file="vqa/v2_OpenEnded_mscoco_val2014_questions.json",
    ann_file="vqa/v2_mscoco_val2014_annotations.json",
    **__coco,
)
train_dataloader = dict(
    batch_size=16,
    dataset=dict(type="ConcatDataset", datasets=[train2014, dict(part="trainable", pipeline=train_pipeline, **val2014)]),
)
val_dataloader = dict(
    batch_size=24,
    dataset=dict(part="held_out", test_mode=True, pipeline=test_pipeline, **val2014),
)
test_dataloader = dict(
    batch_size=24,
    dataset=dict(
        data_prefix=dict(img_path="test2015"),
        question_file="vqa/v2_OpenEnded_mscoco_test2015_questions.json",
        test_mode=True,
        pipeline=test_pipeline,
        **__coco,
    ),
)
val_evaluator = dict(type="mmbeit3.VQAScore")
test_evaluator = dict(type="mmbeit3.VQAScore", submission="work_dirs/vqav2_test2015.json")
