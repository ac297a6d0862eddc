_base_ = './default-dec4_sam-tiny_synthref-64x64.py'
model = dict(backbone=dict(frozen=True))
