# L-DIT for a person who also points: every item comes with its expression, a
# point or box, or both, then two simulated clicks. Scored by expressions.
_base_ = '../dit/ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
model = dict(refinement_clicks=2, decode_head=dict(train_points=True))
train_pipeline = _base_.train_pipeline
train_pipeline.insert(
    -1, dict(type='SamplePrompts', only_text=1 / 3, only_prompts=1 / 3)
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
