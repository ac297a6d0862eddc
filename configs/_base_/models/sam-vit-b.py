# SAM ViT-B with text in the decoder only: the row that every variant edits.
# What varies (text_injector) is left unset.
model = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(
        type='ReferDataPreprocessor',
        # ImageNet's, which SAM uses too; RGB order
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
    ),
    text_encoder=dict(
        type='BertTextEncoder', pretrained='bert-base-uncased', max_tokens=20
    ),
    # The paper's rows without text in the encoder have no windows, too.
    backbone=dict(type='SAMViT', arch='base', attention='all'),
    decode_head=dict(
        type='SAMMaskHead',
        threshold=0.35,
        loss_decode=dict(
            type='mmseg.CrossEntropyLoss',
            use_sigmoid=True,
            loss_name='loss_mask',
        ),
    ),
    # A path works too. Meta's file, loaded strictly by prefix.
    init_cfg=dict(
        type='mmdit.SAMPretrained',
        checkpoint='https://dl.fbaipublicfiles.com/segment_anything/'
        'sam_vit_b_01ec64.pth',
    ),
)
