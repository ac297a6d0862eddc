_base_ = './ldit-release-finetune_sam-vit-b_1xb8-10e_jsonl-512x512.py'
model = dict(
    backbone=dict(arch='huge', with_cp=True),
    init_cfg=dict(
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_h_4b8939.pth'
    ),
)
train_dataloader = dict(batch_size=2)
val_dataloader = dict(batch_size=2)
test_dataloader = dict(batch_size=2)
auto_scale_lr = dict(base_batch_size=2)
