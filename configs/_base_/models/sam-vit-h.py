_base_ = './sam-vit-b.py'
model = dict(
    backbone=dict(arch='huge', with_cp=True),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_h_4b8939.pth'
    ),
)
