"""Small training runs, in this process or others."""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mmdit.registry import MODELS


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
