# Plain SAM: what points, boxes and a previous mask show, as Meta's
# SamPredictor has it: of three masks the one that it rates best. Scored by the
# mask that the ground truth's center point gives; training starts from SAM's
# weights.
_base_ = './prompts_sam-vit-b_4xb16-40e_refcoco-512x512.py'
size = (1024, 1024)
model = dict(
    data_preprocessor=dict(size=size, pad_center=False),
    backbone=dict(attention='windowed'),
    decode_head=dict(threshold=0.5, multimask_output=True),
)
# PIL's filter, which SAM was trained with.
resize = dict(type='Resize', scale=size, keep_ratio=True, backend='pillow')
train_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    resize,
    dict(type='SamplePrompts'),
    dict(type='PackReferSegInputs'),
]
test_pipeline = [
    dict(type='LoadReferImage'),
    resize,
    dict(type='LoadReferMask'),
    dict(type='SamplePrompts', kinds=('point',), random=False),
    dict(type='PackReferSegInputs'),
]
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
