# The schedule of the authors' release: the paper's recipe, but after 3 epochs
# of warm-up from 1e-7 the learning rate follows a cosine to 1e-6.
_base_ = './adam_40e.py'
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=3,
        end=40,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
