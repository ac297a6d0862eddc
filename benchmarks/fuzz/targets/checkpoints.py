"""Checkpoints: as read, and as a run that goes on with them takes them."""

import io
import json
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from random import Random
from typing import Any

import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader
from torch import nn

from mmdit.checkpoints.files import read_checkpoint
from mmdit.engine.loading import SafeRunner

from ..formats import mutate_safetensors, mutate_zip
from ..judging import CANARY, Target
from ..pickles import SNIPPETS, mutate_object, mutate_opcodes
from ..trees import mutate_bytes

_CODE = f"open({CANARY!r}, 'w')\n"


class _Model(BaseModel):
    """A model of one tensor, which an optimizer has stepped once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3, bias=False)

    def forward(self, *args: Any, **kwargs: Any) -> dict:
        return {}


def _run(folder: Path) -> SafeRunner:
    """Return a run that could go on with a checkpoint."""
    runner = SafeRunner(
        model=_Model(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=1,
            sampler=dict(type='DefaultSampler'),
            dataset=[0, 1],  # type: ignore[dict-item]
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        param_scheduler=dict(type='LinearLR', end=2),
        default_hooks=dict(logger=None, checkpoint=None, timer=None),
        log_level='CRITICAL',
    )
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.param_schedulers = runner.build_param_scheduler(
        runner.param_schedulers
    )
    for parameter in runner.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    runner.optim_wrapper.step()
    return runner


def _content(runner: SafeRunner) -> dict:
    """Return what MMEngine writes into a checkpoint."""
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    schedulers = [s.state_dict() for s in runner.param_schedulers]  # type: ignore[union-attr]
    return dict(
        meta=dict(
            epoch=1,
            iter=2,
            seed=3,
            time='20240101_000000',
            mmengine_version='0.10.7',
            experiment_name='x_20240101_000000',
            cfg=_CODE,
            config=_CODE,
            dataset_meta=dict(classes=('a', 'b')),
            hook_msgs=dict(best_score=0.5, last_ckpt='epoch_1.pth'),
        ),
        state_dict=runner.model.state_dict(),
        message_hub=dict(
            log_scalars=OrderedDict({'train/loss': history}),
            runtime_info=OrderedDict(iter=2, epoch=1, max_iters=4),
            resumed_keys={'train/loss': True, 'iter': True},
        ),
        optimizer=runner.optim_wrapper.state_dict(),  # type: ignore[union-attr]
        param_schedulers=schedulers,
    )


def _save(content: Any, random: Random | None = None) -> bytes:
    buffer = io.BytesIO()
    is_new = random is None or random.random() < 0.9
    torch.save(content, buffer, _use_new_zipfile_serialization=is_new)
    return buffer.getvalue()


def make_pth(folder: Path) -> Target:
    """Files of ``torch.save``."""
    path = folder / 'epoch_1.pth'
    runner = _run(folder)
    content = _content(runner)
    without_code = dict(content, meta=dict(content['meta'], config='', cfg=''))
    alone = {'backbone.x': torch.zeros(2), 'backbone.y': torch.ones(3).half()}
    trees = (content, without_code, dict(state_dict=alone), alone)
    evil = _save({**alone, 'meta': _Evil()})

    kept: dict[str, Any] = {}

    def read() -> None:
        kept.clear()
        kept['content'] = read_checkpoint(str(path))

    def resume() -> None:
        if kept:
            runner.resume(str(path), map_location='cpu')

    # What a run resumes from is what has just been read.
    CheckpointLoader.register_scheme(
        '', lambda filename, map_location: kept['content'], force=True
    )

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.4:
            try:
                return _save(mutate_object(random.choice(trees), random))
            except Exception:  # what no pickle can hold
                return data
        if not data.startswith(b'PK'):
            return mutate_opcodes(data, random)
        return mutate_zip(data, random, _mutate_member)

    return Target(
        path,
        [read, resume],
        [
            *map(_save, trees),
            _save(alone, _Old()),
            evil,
            _forge(_save(content)),
        ],
        mutate,
        (path.name,),
    )


class _Old(Random):
    """Chooses the format that PyTorch wrote before ZIP files."""

    def random(self) -> float:
        return 1.0


class _Evil:
    """Unpickles as a call that leaves a file behind."""

    def __reduce__(self) -> tuple:
        return eval, (f'open({CANARY!r}, "w")',)


def _forge(data: bytes) -> bytes:
    """Put an array of pointers into the metadata."""
    forged = b'cnumpy\nndarray\n(K\x02\x85X\x01\x00\x00\x00OC\x10' + b'A' * 16
    snippet = forged + b'tR'
    place = re.compile(re.escape(pickle.dumps('seed', 2)[2:11]))

    def put(name: str, content: bytes, random: Random) -> bytes:
        return place.sub(lambda m: m[0] + snippet + b'0', content, 1)

    for seed in range(200):
        forged_file = mutate_zip(data, Random(seed), put)
        if snippet in forged_file:
            return forged_file
    return data


def _mutate_member(name: str, content: bytes, random: Random) -> bytes:
    """Change the pickle of a ``torch.save`` file, or a tensor's bytes."""
    if not name.endswith('data.pkl'):
        return mutate_bytes(content, random)
    if random.random() < 0.2:
        place = random.randrange(len(content))
        piece = random.choice(SNIPPETS)
        return content[:place] + piece + content[place:]
    return mutate_opcodes(content, random)


def make_safetensors(folder: Path) -> Target:
    """Files of ``safetensors``."""
    from safetensors.torch import save

    path = folder / 'model.safetensors'
    tensors = {'backbone.x': torch.zeros(2, 3), 'y': torch.ones(3).bfloat16()}
    header = {'x': dict(dtype='F8_E4M3', shape=[2], data_offsets=[0, 2])}
    text = json.dumps(header).encode()
    small = len(text).to_bytes(8, 'little') + text + b'ab'
    return Target(
        path,
        [lambda: read_checkpoint(str(path))],
        [save(tensors), save(tensors, {'format': 'pt'}), small],
        mutate_safetensors,
        (path.name,),
    )
