# BEiT-3 large by masked data modeling; otherwise as the base config. Not trained here.
_base_ = "./beit3-b_mdm_64xb32-1m.py"
model = dict(network=dict(arch="large"))
