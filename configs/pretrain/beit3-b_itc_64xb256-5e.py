# Contrastive tuning of the released BEiT-3 base, for retrieval and as a start for vision tasks. How the released tuned base was
# made is unpublished, but for its data; the numbers are those of the paper's giant. 64 GPUs with 256 pairs each make its batch.
# Not trained here.
_base_ = ["../_base_/contrastive.py", "../_base_/weights.py"]
model = dict(
    type="mmbeit3.BEiT3ContrastiveTuner",
    network=dict(arch="base", drop_path_rate=0.3, with_cp=True),
    init_cfg=dict(type="Pretrained", checkpoint=_base_.pop("weights").base),
)
