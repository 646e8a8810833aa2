# Image-text retrieval with BEiT-3 giant on Flickr30k at 420 x 420 pixels, 20 epochs. We have not trained it; the giant's
# weights were never released. The paper reports 98.0 TR@1 and 90.3 IR@1.
# Differs from beit3-b_16xb192-20e_flickr30k-384x384.py in: the size and the values from the paper; values that the paper does
# not state are unchanged.
# Sources: BEiT-3 paper: 420 pixels, learning rate 1e-5, layer decay 0.95, 20 epochs, 5 of them warm-up, drop path 0.3, batch
# size 3k.
_base_ = "./beit3-b_16xb192-20e_flickr30k-384x384.py"
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
