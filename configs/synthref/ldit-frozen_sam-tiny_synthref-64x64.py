_base_ = './ldit_sam-tiny_synthref-64x64.py'
model = dict(backbone=dict(frozen=True))
