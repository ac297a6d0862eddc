# Your own data, a JSON-lines file for each split: docs/own_data.md.
_base_ = './refcoco_512x512.py'
trained_on = 'annotations of your own'
data_root = 'data/own/'
dataset = dict(_delete_=True, type='ReferJSONLDataset', data_root=data_root)
train_dataloader = dict(
    dataset=dict(
        **dataset, ann_file='train.jsonl', pipeline=_base_.train_pipeline
    )
)
val_dataloader = dict(
    dataset=dict(
        **dataset,
        ann_file='val.jsonl',
        test_mode=True,
        pipeline=_base_.test_pipeline,
    )
)
test_dataloader = val_dataloader
