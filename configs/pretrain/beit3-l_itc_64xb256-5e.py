# Contrastive tuning of the released BEiT-3 large on image-text pairs, 5 epochs. We have not trained it.
# Differs from beit3-b_itc_64xb256-5e.py in: the size and recomputation, without which it needs more than 80 GB.
_base_ = ["./beit3-b_itc_64xb256-5e.py", "../_base_/weights.py"]
model = dict(network=dict(arch="large", with_cp=True), init_cfg=dict(checkpoint=_base_.pop("weights").large))
