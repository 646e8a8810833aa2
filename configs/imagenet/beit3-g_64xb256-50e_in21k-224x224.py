# Image classification with BEiT-3 giant on ImageNet-21k at 224 x 224 pixels, 50 epochs: the first of the paper's two stages. A
# dual encoder retrieves the name of the image's class. We have not trained it; the giant's weights were never released.
# Sources: BEiT-3 paper: ImageNet-21k at 224 pixels, learning rate 5e-5, layer decay 0.85, 50 epochs, 5 of them warm-up, drop
# path 0.4, batch size 16k, AdamW with epsilon 1e-6 and betas 0.9 and 0.98, label smoothing 0.1.
# Our choice, because the paper does not state it: the augmentation of the base config; class names from a file with one line
# per folder (folder, tab, name); each image is compared with 4096 classes.
_base_ = ["../_base_/tasks.py", "../_base_/datasets/imagenet.py"]
lr = 5e-5
model = dict(
    type="mmbeit3.BEiT3ZeroShotClassification",
    network=dict(arch="giant", attention="shared", drop_path_rate=0.4, with_cp=True),
    class_names="data/imagenet21k/class_names.txt",
    tokenizer="checkpoints/beit3.spm",
    candidates=4096,
    label_smoothing=0.1,
    init_cfg=dict(type="Pretrained", checkpoint="work_dirs/beit3-g_itc_256xb64-5e/iter_6400.pth"),
)
train_dataloader = dict(
    batch_size=256,
    dataset=dict(
        _delete_=True,
        type="mmpretrain.CustomDataset",
        data_root="data/imagenet21k",
        data_prefix=dict(img_path="train"),
        pipeline=_base_.train_pipeline,
    ),
)
val_dataloader = None
val_evaluator = None
val_cfg = None
test_dataloader = None
test_evaluator = None
test_cfg = None
optim_wrapper = dict(
    optimizer=dict(lr=lr, betas=(0.9, 0.98), eps=1e-6),
    paramwise_cfg=dict(layer_decay_rate=0.85),
)
_base_.param_scheduler[0].end = 5
_base_.param_scheduler[1].update(eta_min_ratio=1e-6 / lr, begin=5, end=50, T_max=45)
train_cfg = dict(max_epochs=50)
auto_scale_lr = dict(enable=False, base_batch_size=16384)
