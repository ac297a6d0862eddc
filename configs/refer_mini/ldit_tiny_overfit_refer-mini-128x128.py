# A small L-DIT learns a handful of real items by heart: a check that the data,
# the model and the scores fit together. Needs a vocabulary of the items:
#   python tools/dataset_converters/build_vocab.py data/refer_mini \
#       data/refer_mini/vocab.txt
_base_ = [
    '../_base_/models/sam-vit-tiny.py',
    '../_base_/datasets/refcoco_512x512.py',
    '../_base_/schedules/adamw_quick.py',
    '../_base_/default_runtime.py',
]
data_root = 'data/refer_mini/'
size = (128, 128)
trained_on = 'a handful of photographs, overfitted'
max_iters = 350
model = dict(
    data_preprocessor=dict(size=size),
    text_encoder=dict(vocab_file=data_root + 'vocab.txt'),
    backbone=dict(
        pretrain_size=128,
        text_injector=dict(
            type='LayerwiseProjection', dropout=0.0, zero_init=False
        ),
    ),
)
pipeline = [
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(type='Resize', scale=size, keep_ratio=True),
    dict(type='PackReferSegInputs'),
]
test_pipeline = [pipeline[0], pipeline[2], pipeline[1], pipeline[3]]
# There is no train split: what is scored is what was learnt.
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(
        data_root=data_root,
        split='val',
        sample_by='sentence',
        pipeline=pipeline,
    ),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=max_iters, save_best=None)
)
