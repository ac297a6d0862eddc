_base_ = './edit_sam-tiny_synthref-crowded-64x64.py'
model = dict(backbone=dict(frozen=True))
