_base_ = './default_sam-tiny_synthref-64x64.py'
model = dict(decode_head=dict(num_layers=6))
