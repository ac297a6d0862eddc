# A small L-DIT overfits a handful of real items: a check that the data,
# the model and the scores fit together. Needs a vocabulary of the items:
#   mmdit build-vocab data/refer_mini \
#       data/refer_mini/vocab.txt
_base_ = '../../configs/own/ldit_tiny_jsonl-128x128.py'
data_root = 'data/refer_mini/'
trained_on = 'a handful of photographs, overfitted'
model = dict(
    text_encoder=dict(vocab_file=data_root + 'vocab.txt', max_tokens=16)
)
# There is no train split: what is scored is what was learned.
dataset = dict(
    _delete_=True,
    type='RefCOCODataset',
    data_root=data_root,
    name='refcoco',
    split_by='unc',
    split='val',
)
train_dataloader = dict(
    num_workers=1,
    dataset=dict(
        **dataset,
        sample_by='sentence',
        pipeline=[
            step for step in _base_.train_pipeline if step.type != 'ReferFlip'
        ],
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(**dataset, test_mode=True, pipeline=_base_.test_pipeline),
)
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAfterWarmup', by_epoch=False, begin=50),
]
train_cfg = dict(max_iters=350)
