# From the authors' weights, or one's own of this kind, to one's own data
# (docs/finetuning.md): mmdit train CONFIG --weights FILE.
_base_ = './ldit-release_sam-vit-b_4xb16-cosine-40e_refcoco-512x512.py'
trained_on = 'annotations of your own, from weights that knew others'
own = dict(_delete_=True, type='ReferJSONLDataset', data_root='data/own/')
train_dataloader = dict(
    batch_size=8,
    dataset=dict(
        **own, ann_file='train.jsonl', pipeline=_base_.train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=8,
    dataset=dict(
        **own,
        ann_file='val.jsonl',
        test_mode=True,
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = val_dataloader
# A tenth of the rate at which the weights were trained, for a quarter as long.
optim_wrapper = dict(optimizer=dict(lr=1e-5))
param_scheduler = [
    dict(_base_.param_scheduler[0], end=1),
    dict(_base_.param_scheduler[1], begin=1, end=10, eta_min=1e-7),
]
train_cfg = dict(max_epochs=10)
auto_scale_lr = dict(base_batch_size=8)
