_base_ = './default_sam-tiny_synthref-64x64.py'
model = dict(
    backbone=dict(
        text_injector=dict(
            type='EndToEndToken', num_tokens=16, dropout=0.0, zero_init=False
        )
    )
)
