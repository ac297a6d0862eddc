# SAM's own training on RefCOCO's masks: a point or a box sampled from each, no
# text. Scored by the mask that its innermost point gives.
_base_ = '../dit/default_sam-vit-b_4xb16-40e_refcoco-512x512.py'
model = dict(text_encoder=None, decode_head=dict(train_points=True))
train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type='SamplePrompts'))
test_pipeline = _base_.test_pipeline
test_pipeline.insert(
    -1, dict(type='SamplePrompts', kinds=('point',), random=False)
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
