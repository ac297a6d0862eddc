# The authors' released models are of this size.
_base_ = './ldit-release_sam-vit-b_4xb16-cosine-40e_refcoco-512x512.py'
model = dict(
    backbone=dict(arch='huge', with_cp=True),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_h_4b8939.pth'
    ),
)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=25),
]
train_cfg = dict(max_epochs=25)
train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
