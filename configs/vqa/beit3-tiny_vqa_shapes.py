# Visual question answering with the tiny BEiT-3 on the shapes dataset, on two CPU cores. Optimizer, schedule and initial
# weights are in _base_/tasks_shapes.py.
# Our choice: all values.
_base_ = ["../_base_/tasks_shapes.py", "../_base_/datasets/vqav2.py"]
data = _base_.shapes
tokenizer = data + "/texts.spm"
answers = data + "/vqa/answers.txt"
model = dict(
    type="mmbeit3.BEiT3VQA",
    answers=answers,
)
encode = dict(type="mmbeit3.EncodeText", tokenizer=tokenizer, key="question", max_length=48, max_positions=62)
# No flips or crops: they would swap left and right, and change the number of objects.
train_pipeline = [
    dict(type="mmbeit3.LoadImageOrFail"),
    encode,
    dict(type="mmbeit3.VQALabels", answers=answers, drop_unlabelled=True),
    dict(type="mmbeit3.PackTask", meta=("question_id", "labels", "scores")),
]
test_pipeline = [
    dict(type="mmbeit3.LoadImageOrGrey"),
    dict(type="Resize", scale=(128, 128)),
    encode,
    dict(type="mmbeit3.PackTask", meta=("question_id", "gt_answers")),
]
__questions = dict(_delete_=True, type="mmbeit3.VQAv2", data_root=data)
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        data_prefix=dict(img_path="train2017"),
        question_file="vqa/questions_train2017.json",
        ann_file="vqa/annotations_train2017.json",
        indices=13_000,  # of 14,611, so that training takes five minutes on two cores
        pipeline=train_pipeline,
        **__questions,
    ),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=1,
    dataset=dict(
        data_prefix=dict(img_path="val2017"),
        question_file="vqa/questions_val2017.json",
        ann_file="vqa/annotations_val2017.json",
        test_mode=True,
        pipeline=test_pipeline,
        **__questions,
    ),
)
test_dataloader = val_dataloader
test_evaluator = dict(submission=None)
