_base_ = [
    '../_base_/models/sam-vit-l.py',
    '../_base_/datasets/refcoco_512x512.py',
    '../_base_/schedules/adam_40e.py',
    '../_base_/default_runtime.py',
]
model = dict(backbone=dict(text_injector=dict(type='LayerwiseProjection')))
# 8 GPUs x 8 images = the paper's total batch of 64
train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
