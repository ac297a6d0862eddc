# SAM without text: points and boxes sampled from the ground truth. The other
# configs of these scenes start from its weights, as the paper's from SAM.
_base_ = [
    '../_base_/models/sam-vit-tiny.py',
    '../_base_/datasets/synthref_64x64.py',
    '../_base_/schedules/adamw_quick.py',
    '../_base_/default_runtime.py',
]
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
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=500, save_best=None)
)
