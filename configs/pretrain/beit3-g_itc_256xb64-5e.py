# Contrastive tuning of the paper's BEiT-3 giant on image-text pairs, 5 epochs, from the weights of masked data modeling. The
# paper's batch size is reached with 256 GPUs of 64 pairs each. We have not trained it; the giant's weights were never released.
# Attention is shared between the modalities. The vision-language experts are left out, because images and texts are encoded
# separately.
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
