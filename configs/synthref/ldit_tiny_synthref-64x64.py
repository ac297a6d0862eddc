_base_ = [
    '../_base_/models/sam-vit-tiny.py',
    '../_base_/datasets/synthref_64x64.py',
    '../_base_/schedules/adamw_quick.py',
    '../_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        text_injector=dict(
            type='LayerwiseProjection', dropout=0.0, zero_init=False
        )
    )
)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=500, save_best=None)
)
