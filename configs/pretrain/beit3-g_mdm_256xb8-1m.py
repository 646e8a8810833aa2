# Masked data modeling with the paper's BEiT-3 giant, 1 million steps: attention shared between the modalities, vision-language
# experts in the top three layers, patch size 14. The batch size of 2048 images, texts and pairs each is reached with 256 GPUs
# of 8 images, 8 texts and 8 pairs. We have not trained it; the giant's weights were never released.
# Our choice: the image codes, 16 x 16 for 224 pixels, are those of the released VQ-KD tokenizer on the crop resized to 256
# pixels. Which tokenizer the authors used is not published.
_base_ = "../_base_/pretrain.py"
patch_size = 14
streams = dict(images=dict(batch=8), texts=dict(batch=8), pairs=dict(batch=8))
model = dict(
    type="mmbeit3.BEiT3Pretrainer",
    network=dict(arch="giant", attention="shared", num_fusion_layers=3, drop_path_rate=0.1, with_cp=True),
    tokenizer=dict(preset="base", checkpoint="checkpoints/vqkd_encoder_base_decoder_3x768x12_clip-d5036aa7.pth"),
)
train_dataloader = dict(dataset=dict(patch_size=patch_size, streams=streams))
# Each GPU stores a shard of the weights. They are gathered in bfloat16.
strategy = dict(type="mmbeit3.FullyShardedStrategy", param_dtype="bfloat16")
default_hooks = dict(reconstruction=dict(type="mmbeit3.ReconstructionHook", interval=5000))
