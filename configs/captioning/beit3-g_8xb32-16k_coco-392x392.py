# Captioning with BEiT-3 giant on COCO at 392 x 392 pixels, 16000 iterations. We have not trained it; the giant's weights were
# never released. The paper reports CIDEr 147.6.
# Differs from beit3-b_8xb32-10e_coco-480x480.py in: the size and the values from the paper; values that the paper does not
# state are unchanged.
# Sources: BEiT-3 paper: 392 pixels, learning rate 8e-6, 16000 iterations, 1600 of them warm-up, drop path 0.3, weight decay
# 0.01, 60% masked, beam size 3.
_base_ = "./beit3-b_8xb32-10e_coco-480x480.py"
lr = 8e-6
model = dict(
    network=dict(arch="giant", attention="shared", num_fusion_layers=3, image_size=392, drop_path_rate=0.3, with_cp=True),
    mask_ratio=0.6,
    init_cfg=dict(checkpoint="work_dirs/beit3-g_mdm_256xb8-1m/iter_1000000.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr, weight_decay=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-6, by_epoch=False, begin=0, end=1600),
    dict(type="CosineAnnealingLR", eta_min_ratio=1e-6 / lr, by_epoch=False, begin=1600, end=16000, T_max=14400),
]
image_size = 392
_base_.train_dataloader.dataset.pipeline[1].scale = image_size
for __translation in _base_.train_dataloader.dataset.pipeline[3].policies[-2:]:
    __translation.magnitude_range = (0, 10 / image_size)
for loader in (_base_.val_dataloader, _base_.test_dataloader):
    loader.dataset.pipeline[1].scale = (image_size, image_size)
_base_.train_dataloader.sampler = dict(type="InfiniteSampler", shuffle=True)
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=16000, val_interval=2000)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=2000),
)
