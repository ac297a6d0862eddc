_base_ = './ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
# SAM's own windows; the text joins every window
model = dict(backbone=dict(attention='windowed'))
