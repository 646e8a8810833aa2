# VQAv2 with BEiT-3 base, as the released code's README: rate 3e-5, the classifier's 20 times that, no layer decay, drop path
# 0.1, weight decay 0.01, RandAugment. Released: 77.65 on test-dev, 78.46 from beit3_base_indomain_patch16_224.pth. Not trained
# here.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/vqav2.py", "../_base_/weights.py"]
lr = 3e-5
model = dict(
    type="mmbeit3.BEiT3VQA",
    network=dict(arch="base", image_size=480, drop_path_rate=0.1),
    answers="data/coco/vqa/answer2label.txt",
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base),
)
optim_wrapper = dict(
    optimizer=dict(lr=lr, betas=(0.9, 0.98), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={"network.head.": dict(lr_mult=20.0)}),
)
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
default_hooks = dict(checkpoint=dict(save_best="vqa/score", rule="greater"))
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(enable=False, base_batch_size=128)
