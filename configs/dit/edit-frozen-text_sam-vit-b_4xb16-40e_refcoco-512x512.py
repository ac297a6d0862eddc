_base_ = './edit-frozen_sam-vit-b_4xb16-40e_refcoco-512x512.py'
model = dict(text_encoder=dict(frozen=True))
