# Visual question answering with BEiT-3 base on VQAv2 at 480 x 480 pixels, 10 epochs. We have not trained it. The authors report
# 77.65 on test-dev, and 78.46 when starting from beit3_base_indomain_patch16_224.pth.
# Sources: BEiT-3's README: learning rate 3e-5, 20 times that for the classifier, no layer decay, drop path 0.1, weight decay
# 0.01, RandAugment.
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
