# Mask2Former for semantic segmentation with a narrow head, for short trainings on two CPU cores. The configs that inherit this file
# set the backbone, the classes and the number of queries.
# Our choice: all values.
_base_ = "./mask2former_seg.py"
width = 96
attention = dict(embed_dims=width, num_heads=6)
positions = dict(num_feats=width // 2)
model = dict(
    decode_head=dict(
        feat_channels=width,
        out_channels=width,
        pixel_decoder=dict(
            encoder=dict(
                num_layers=2,
                layer_cfg=dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=width, feedforward_channels=2 * width)),
            ),
            positional_encoding=positions,
        ),
        positional_encoding=positions,
        transformer_decoder=dict(
            num_layers=3,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(embed_dims=width, feedforward_channels=4 * width),
            ),
        ),
        # A high classification cost lets each query specialise in one class early. With the usual weight of 2, this
        # takes longer than a short schedule lasts.
        train_cfg=dict(
            assigner=dict(
                match_costs=[
                    dict(type="mmdet.ClassificationCost", weight=30.0),
                    dict(type="mmdet.CrossEntropyLossCost", weight=5.0, use_sigmoid=True),
                    dict(type="mmdet.DiceCost", weight=5.0, pred_act=True, eps=1.0),
                ]
            ),
        ),
    ),
)
