# Backbone: tiny BEiT-3 with a ViT-Adapter for the small real datasets. A config takes it with `_base_.pop("adapter")`.
# Differs from adapter-t.py in: the initial weights, the image size of beit3-tiny_mdm_real.py, and a narrower spatial prior.
# Our choice: all values.
_base_ = "./adapter-t.py"
adapter = dict(
    vit=dict(_delete_=True, type="mmbeit3.BEiT3Vision", arch=dict(base="tiny", init="magneto"), image_size=224),
    conv_inplane=32,
)
