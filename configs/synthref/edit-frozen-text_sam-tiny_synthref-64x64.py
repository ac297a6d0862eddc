_base_ = './edit-frozen_sam-tiny_synthref-64x64.py'
model = dict(text_encoder=dict(frozen=True))
