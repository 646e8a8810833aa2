# NLVR2 (statements about two images) with BEiT-3 giant at 224 x 224 pixels, 20 epochs. We have not trained it; the giant's
# weights were never released.
# Differs from beit3-b_8xb32-20e_nlvr2-224x224.py in: the size and the values from the paper; values that the paper does not
# state are unchanged.
# Sources: BEiT-3 paper: learning rate 1e-3, layer decay 0.8, 20 epochs, drop path 0.4, weight decay 0.05.
_base_ = "./beit3-b_8xb32-20e_nlvr2-224x224.py"
lr = 1e-3
model = dict(
    network=dict(arch="giant", attention="shared", num_fusion_layers=3, drop_path_rate=0.4, with_cp=True),
    init_cfg=dict(checkpoint="work_dirs/beit3-g_mdm_256xb8-1m/iter_1000000.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.8))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
