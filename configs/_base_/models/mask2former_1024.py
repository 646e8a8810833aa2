# Wide Mask2Former head: 1024 channels and 32 attention heads. A config takes it with `_base_.pop("wide_head")`.
# Source: ViT-Adapter's recipes for large models.
__width = 1024
__ffn = dict(embed_dims=__width, feedforward_channels=4 * __width)
__attention = dict(embed_dims=__width, num_heads=32)
__positions = dict(num_feats=__width // 2)
wide_head = dict(
    in_channels=[1024] * 4,
    feat_channels=__width,
    out_channels=__width,
    pixel_decoder=dict(
        encoder=dict(layer_cfg=dict(self_attn_cfg=__attention, ffn_cfg=__ffn)),
        positional_encoding=__positions,
    ),
    positional_encoding=__positions,
    transformer_decoder=dict(layer_cfg=dict(self_attn_cfg=__attention, cross_attn_cfg=__attention, ffn_cfg=__ffn)),
)
