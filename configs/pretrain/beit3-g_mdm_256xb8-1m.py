# The paper's BEiT-3 giant: attention shared between the modalities, vision-language experts in the top three layers, patch 14. 256
# GPUs with 8 images, 8 texts and 8 pairs each make its batch of 2048 of each. Its codes, 16 x 16 on 224 pixels, are those of the
# released VQ-KD tokenizer on the crop resized to 256 pixels; which tokenizer the authors used is unpublished. Not trained here; its
# weights were never released.
_base_ = "../_base_/pretrain.py"
patch_size = 14
streams = dict(images=dict(batch=8), texts=dict(batch=8), pairs=dict(batch=8))
model = dict(
    type="mmbeit3.BEiT3Pretrainer",
    network=dict(arch="giant", attention="shared", num_fusion_layers=3, drop_path_rate=0.1, with_cp=True),
    tokenizer=dict(preset="base", checkpoint="checkpoints/vqkd_encoder_base_decoder_3x768x12_clip-d5036aa7.pth"),
)
train_dataloader = dict(dataset=dict(patch_size=patch_size, streams=streams))
# Each GPU holds its share of the weights, which are gathered in half precision.
strategy = dict(type="mmbeit3.FullyShardedStrategy", param_dtype="bfloat16")
default_hooks = dict(reconstruction=dict(type="mmbeit3.ReconstructionHook", interval=5000))
