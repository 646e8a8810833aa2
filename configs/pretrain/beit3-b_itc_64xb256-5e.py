# Contrastive tuning of the released BEiT-3 base on image-text pairs, 5 epochs, for retrieval and as a start for vision tasks.
# The batch size is reached with 64 GPUs of 256 pairs each. We have not trained it.
# Sources: BEiT-3 paper, which gives the values of the giant. How the released tuned base was trained is not published, except
# for its data.
# Memory (computed, not measured): about 41 GB, and about 10 GB if layers are recomputed (`model.network.with_cp=True`).
_base_ = ["../_base_/contrastive.py", "../_base_/weights.py"]
model = dict(
    type="mmbeit3.BEiT3ContrastiveTuner",
    network=dict(arch="base", drop_path_rate=0.3),
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base),
)
