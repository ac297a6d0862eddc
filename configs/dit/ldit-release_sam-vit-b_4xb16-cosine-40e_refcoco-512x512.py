# The setting of the authors' released models, where it differs from the
# paper's: BERT's first layer, corner-aligned upsampling, Pillow's antialiased
# resizing of images and training masks, neither blur nor flips, and a cosine.
# A checkpoint of theirs needs the first three.
_base_ = './ldit_sam-vit-b_4xb16-cosine-40e_refcoco-512x512.py'
model = dict(
    text_encoder=dict(num_layers=1), decode_head=dict(align_corners=True)
)
train_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(
        type='RandomChoiceResize',
        scales=[(side, side) for side in range(512, 319, -32)],
        resize_type='mmdit.ReferResize',
        keep_ratio=True,
        backend='pillow',
    ),
    dict(type='ReferColorJitter'),
    dict(type='PackReferSegInputs'),
]
test_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True, backend='pillow'),
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
