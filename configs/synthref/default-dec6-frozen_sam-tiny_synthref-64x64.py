_base_ = './default-dec6_sam-tiny_synthref-64x64.py'
model = dict(backbone=dict(frozen=True))
