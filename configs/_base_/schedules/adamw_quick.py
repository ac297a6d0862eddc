# A few CPU minutes from random weights: warm-up, then cosine to zero. The
# learning rate is higher than the paper's, which starts from SAM's weights.
# train_cfg.max_iters alone decides how long it takes: the cosine ends with it,
# and the only validation comes last.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=7e-4, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    ),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAfterWarmup', by_epoch=False, begin=100, eta_min=0),
]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=3000, val_interval=1_000_000
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
randomness = dict(seed=0)
auto_scale_lr = dict(enable=False, base_batch_size=16)
