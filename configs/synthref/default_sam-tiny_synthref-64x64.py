# The counterpart of configs/dit/default_*: the other rows edit it, and start
# from the same prompt-trained checkpoint.
_base_ = [
    '../_base_/models/sam-vit-tiny.py',
    '../_base_/datasets/synthref_64x64.py',
    '../_base_/schedules/adamw_quick.py',
    '../_base_/default_runtime.py',
]
model = dict(
    init_cfg=dict(
        type='mmdit.SAMPretrained',
        checkpoint='work_dirs/prompts_sam-tiny_synthref-64x64/iter_3000.pth',
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAfterWarmup', by_epoch=False, begin=50, eta_min=0),
]
train_cfg = dict(max_iters=2500)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=2500, save_best=None)
)
