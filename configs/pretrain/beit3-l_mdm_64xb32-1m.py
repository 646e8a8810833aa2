# Masked data modeling with BEiT-3 large, 1 million steps. We have not trained it.
# Differs from beit3-b_mdm_64xb32-1m.py in: the size.
_base_ = "./beit3-b_mdm_64xb32-1m.py"
model = dict(network=dict(arch="large"))
