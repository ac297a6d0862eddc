# A small L-DIT for images of any size and a JSON-lines file of your own
# (docs/tutorial_own_data.md), from nothing and on a CPU: it shows within
# minutes that images, masks and words fit together, and learns simple scenes.
# Needs a vocabulary of the expressions:
#   mmdit build-vocab data/own/train.jsonl data/own/vocab.txt
_base_ = [
    '../_base_/models/sam-vit-tiny.py',
    '../_base_/datasets/jsonl_512x512.py',
    '../_base_/schedules/adamw_quick.py',
    '../_base_/default_runtime.py',
]
size = (128, 128)
model = dict(
    data_preprocessor=dict(size=size),
    text_encoder=dict(vocab_file='data/own/vocab.txt', max_tokens=20),
    backbone=dict(
        img_size=128,
        text_injector=dict(
            type='LayerwiseProjection', dropout=0.0, zero_init=False
        ),
    ),
)
train_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='ReferFlip', prob=0.5),
    dict(type='PackReferSegInputs'),
]
test_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='Resize', scale=size, keep_ratio=True),
    # After Resize: the ground truth keeps its original size for scoring.
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
]
train_dataloader = dict(
    num_workers=2,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=2, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=500, save_best=None)
)
