# Contrastive tuning of the paper's BEiT-3 giant, from what masked data modeling leaves: attention is shared between the modalities, the
# vision-language experts are left out, since images and texts are encoded apart. 256 GPUs with 64 pairs each make the paper's batch.
# Not trained here; its weights were never released.
_base_ = "../_base_/contrastive.py"
patch_size = 14
streams = dict(pairs=dict(batch=64))
model = dict(
    type="mmbeit3.BEiT3ContrastiveTuner",
    network=dict(arch="giant", attention="shared", drop_path_rate=0.3, with_cp=True),
    init_cfg=dict(type="Pretrained", checkpoint="work_dirs/beit3-g_mdm_256xb8-1m/iter_1000000.pth"),
)
train_dataloader = dict(dataset=dict(patch_size=patch_size, streams=streams))
strategy = dict(type="mmbeit3.FullyShardedStrategy", param_dtype="bfloat16")
