# The paper's recipe (Sec. 4.3): Adam, total batch 64, 40 epochs, 3 of them
# warm-up, learning rate x0.2 at epochs 30 and 35. The authors' release, not
# the paper, has the betas, gradients clipped at 0.15 and the evaluated
# average (EMA) of the weights with decay min(0.9997, (1 + t) / (10 + t)).
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='Adam', lr=1e-4, betas=(0.9, 0.98), eps=1e-9, fused=True
    ),
    clip_grad=dict(max_norm=0.15, norm_type=2),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-3,
        by_epoch=True,
        begin=0,
        end=3,
        convert_to_iter_based=True,
    ),
    dict(
        type='MultiStepLR',
        by_epoch=True,
        begin=0,
        end=40,
        milestones=[30, 35],
        gamma=0.2,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
custom_hooks = [
    dict(
        type='EMAHook',
        ema_type='ForeachMomentumAnnealingEMA',
        momentum=3e-4,
        gamma=9,
    )
]
randomness = dict(seed=123456)
auto_scale_lr = dict(enable=False, base_batch_size=64)
