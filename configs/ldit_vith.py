# L-DIT on SAM ViT-H: tools/dist_train.sh configs/ldit_vith.py 8
_base_ = './dit/ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
model = dict(
    backbone=dict(arch='huge', with_cp=True),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_h_4b8939.pth'
    ),
)
# 8 GPUs x 8 images = the paper's total batch of 64
train_dataloader = dict(batch_size=8)
val_dataloader = dict(batch_size=8)
test_dataloader = dict(batch_size=8)
