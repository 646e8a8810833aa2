# Mask R-CNN with a tiny BEiT-3 in a ViT-Adapter on the nuclei of the Data Science Bowl 2018, from the weights of beit3-tiny_mdm_real.py.
# Differs from mask-rcnn_beit3-adapter-t_nuclei.py in: the initial weights, and layer decay, which keeps the early layers close to them.
_base_ = "./mask-rcnn_beit3-adapter-t_nuclei.py"
__weights = dict(type="Pretrained", checkpoint="work_dirs/beit3-tiny_mdm_real/iter_820.pth")
model = dict(backbone=dict(vit=dict(init_cfg=__weights)))
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.85))
