# A SAM of about 1.2 M parameters for 64 px images, trained from nothing.
# What varies (text_injector) is left unset.
model = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(
        type='ReferDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(64, 64),
    ),
    text_encoder=dict(
        type='BertTextEncoder',
        config=dict(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=256,
            max_position_embeddings=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        vocab_file='data/synthref/vocab.txt',
        # The longest expression of SynthRef has 14 words.
        max_tokens=16,
    ),
    backbone=dict(
        type='SAMViT',
        arch=dict(embed_dims=128, depth=4, num_heads=4),
        patch_size=8,
        img_size=64,
        attention='all',
        window_size=0,
        mlp_ratio=2,
        out_channels=64,
    ),
    decode_head=dict(
        type='SAMMaskHead',
        embed_dims=64,
        num_heads=4,
        mlp_dims=256,
        loss_decode=dict(
            type='mmseg.CrossEntropyLoss',
            use_sigmoid=True,
            loss_name='loss_mask',
        ),
    ),
)
