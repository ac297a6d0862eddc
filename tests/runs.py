"""Small training runs, in this process or others."""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmdit.datasets.synthref import write_synthref
from mmdit.registry import MODELS
from mmdit.resources import resolve_config

CONFIG = f"""
_base_ = '{resolve_config('ldit_tiny_synthref-64x64')}'
model = dict(backbone=dict(arch=dict(depth=2)))
train_dataloader = dict(batch_size=2, num_workers=0)
train_cfg = dict(max_iters=2, val_interval=9)
default_hooks = dict(checkpoint=dict(interval=2))
visualizer = dict(vis_backends=[])
"""


def write_run(folder, more=''):
    """Write a small SynthRef and ``config.py`` of two steps into a folder."""
    write_synthref(folder / 'data/synthref', train=4, val=1)
    (folder / 'config.py').write_text(CONFIG + more)


@MODELS.register_module()
class Line(BaseModel):
    """A model of one parameter; an item of NaN gives a loss of NaN."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(2, 2))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if mode == 'predict':
            return []
        return dict(loss=(self.slope * torch.stack(inputs).sum()).sum())


def items(values):
    return [
        dict(
            inputs=torch.tensor(float(value)),
            data_samples=BaseDataElement(
                metainfo=dict(img_path=f'{i}.jpg', expression=f'thing {i}')
            ),
        )
        for i, value in enumerate(values)
    ]


def make_runner(work_dir, values, hooks=(), **options):
    """Return a Runner of two items a step, in order."""
    settings = dict(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=items(values),
            batch_size=2,
            sampler=dict(type='InfiniteSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=len(values) // 2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.001)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)
        ),
        custom_hooks=list(hooks),
        default_scope='mmdit',
        experiment_name=str(work_dir),
    )
    return Runner(**(settings | options))
