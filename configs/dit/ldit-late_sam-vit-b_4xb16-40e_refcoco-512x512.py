# Not in the paper: text enters the last quarter of the encoder, and the blocks
# before it run once per image (docs/late_text.md).
_base_ = './ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
model = dict(backbone=dict(text_injector=dict(first_block=9)))
