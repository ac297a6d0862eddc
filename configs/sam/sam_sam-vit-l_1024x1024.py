_base_ = './sam_sam-vit-b_1024x1024.py'
model = dict(
    backbone=dict(arch='large', with_cp=True),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_l_0b3195.pth'
    ),
)
