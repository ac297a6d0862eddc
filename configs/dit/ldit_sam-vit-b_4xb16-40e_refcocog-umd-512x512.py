_base_ = [
    '../_base_/models/sam-vit-b.py',
    '../_base_/datasets/refcocog-umd_512x512.py',
    '../_base_/schedules/adam_40e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(text_injector=dict(type='LayerwiseProjection')))
