# NLVR2 with the paper's giant, whose weights were never released. From the paper: rate 1e-3, layer decay 0.8, 20 epochs, drop
# path 0.4, weight decay 0.05. The unstated as base. Not trained here.
_base_ = "./beit3-b_8xb32-20e_nlvr2-224x224.py"
lr = 1e-3
model = dict(
    network=dict(arch="giant", attention="shared", num_fusion_layers=3, drop_path_rate=0.4, with_cp=True),
    init_cfg=dict(checkpoint="work_dirs/beit3-g_mdm_256xb8-1m/iter_1000000.pth"),
)
optim_wrapper = dict(optimizer=dict(lr=lr, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.8))
_base_.param_scheduler[1].eta_min_ratio = 1e-6 / lr
