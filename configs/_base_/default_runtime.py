default_scope = 'mmdit'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [
    dict(type='LocalVisBackend'),
    dict(type='TensorboardVisBackend'),
]
visualizer = dict(
    type='ReferVisualizer', vis_backends=vis_backends, name='visualizer'
)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
# Whether to score weights that were trained with other settings.
allow_other_settings = False

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='AtomicCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        save_best='mIoU',
    ),
    settings=dict(type='SettingsHook'),
    health=dict(type='HealthHook'),
    signals=dict(type='SignalHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='ReferVisualizationHook'),
)
