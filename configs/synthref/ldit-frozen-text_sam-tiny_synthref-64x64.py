_base_ = './ldit-frozen_sam-tiny_synthref-64x64.py'
model = dict(text_encoder=dict(frozen=True))
