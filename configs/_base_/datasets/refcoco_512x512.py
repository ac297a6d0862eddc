# RefCOCO, split by UNC, at 512 px as in the paper; training at several scales
# is the authors' release's.
trained_on = 'RefCOCO: photographs of COCO'
data_root = 'data/refer/'
dataset = dict(
    type='RefCOCODataset',
    data_root=data_root,
    name='refcoco',
    split_by='unc',
)
train_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='LoadReferMask'),
    dict(
        type='RandomChoiceResize',
        scales=[(side, side) for side in range(512, 319, -32)],
        keep_ratio=True,
    ),
    dict(type='ReferColorJitter'),
    dict(type='ReferGaussianBlur'),
    dict(type='ReferFlip', prob=0.5),
    dict(type='PackReferSegInputs'),
]
test_pipeline = [
    dict(type='LoadReferImage'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    # After Resize: the ground truth keeps its original size for scoring.
    dict(type='LoadReferMask'),
    dict(type='PackReferSegInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='mmdit.one_storage_collate'),
    worker_init_fn=dict(type='mmdit.seed_worker'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    collate_fn=dict(type='mmdit.one_storage_collate'),
    worker_init_fn=dict(type='mmdit.seed_worker'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **dataset, split='val', test_mode=True, pipeline=test_pipeline
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ReferIoUMetric')
test_evaluator = val_evaluator
