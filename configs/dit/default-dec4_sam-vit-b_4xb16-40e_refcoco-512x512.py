_base_ = './default_sam-vit-b_4xb16-40e_refcoco-512x512.py'
# SAM's two decoder layers and two more, which start from random weights
model = dict(decode_head=dict(num_layers=4))
