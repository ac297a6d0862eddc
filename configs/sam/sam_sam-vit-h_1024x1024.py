_base_ = './sam_sam-vit-b_1024x1024.py'
model = dict(
    backbone=dict(arch='huge', with_cp=True),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_h_4b8939.pth'
    ),
)
