# Retrieval on COCO with the paper's giant, whose weights were never released. From the paper: 420 pixels, rate 1e-5, layer
# decay 0.95, 15 epochs, 3 to warm up, drop path 0.3, a batch of 3k. The unstated as base. Paper: 84.8 TR@1, 67.2 IR@1. Not
# trained here.
_base_ = "./beit3-b_16xb192-15e_coco-384x384.py"
lr = 1e-5
model = dict(
    network=dict(arch="giant", attention="shared", image_size=420, drop_path_rate=0.3),
    init_cfg=dict(checkpoint="work_dirs/beit3-g_itc_256xb64-5e/iter_6400.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=0.95))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
image_size = 420
_base_.train_dataloader.dataset.pipeline[1].scale = image_size
for loader in (_base_.val_dataloader, _base_.test_dataloader):
    loader.dataset.datasets[0].pipeline[1].scale = (image_size, image_size)
