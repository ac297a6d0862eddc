_base_ = './default_sam-vit-b_4xb16-40e_refcoco-512x512.py'
model = dict(backbone=dict(text_injector=dict(type='LayerwiseCrossAttention')))
