_base_ = [
    '../_base_/models/sam-vit-b.py',
    '../_base_/datasets/refcoco_512x512.py',
    '../_base_/schedules/adam_cosine_40e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(text_injector=dict(type='LayerwiseProjection')))
