# SynthRef: drawn scenes in RefCOCO's formats (docs/synthref.md).
trained_on = 'drawn scenes of colored shapes; no photographs'
data_root = 'data/synthref/'
dataset = dict(type='RefCOCODataset', data_root=data_root)
train_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(type='ReferFlip', prob=0.5),
    dict(type='PackReferSegInputs'),
]
test_pipeline = [
    dict(type='LoadReferImage'),
    # For other images; SynthRef's own have this size.
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
]
# Loading these images (0.3 ms each) takes less time than to receive them
# from a worker.
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset, split='val', test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ReferIoUMetric')
test_evaluator = val_evaluator
