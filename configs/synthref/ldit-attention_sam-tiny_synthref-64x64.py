# Why the frozen rows lie together: of the encoder only the attention trains.
_base_ = './ldit_sam-tiny_synthref-64x64.py'
frozen = dict(lr_mult=0.0)
trains = dict(lr_mult=1.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        # The longest key that a parameter's name contains decides.
        custom_keys={
            'backbone.': frozen,
            'backbone.text_injector': trains,
            **{f'backbone.blocks.{i}.attn': trains for i in range(4)},
        }
    )
)
