"""Every config under configs/ builds; one of each kind trains and comes back.

Adding a config adds its tests.
"""

import functools
import json
import math
import re
import textwrap
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint

from mmdit.registry import (
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    TRANSFORMS,
    VISUALIZERS,
)

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
SIZE = (32, 32)
WORDS = 'left box the on right thing two pieces big square moon a'


@functools.cache
def read(name):
    return Config.fromfile(ROOT / 'configs' / name)


# Sizes and numbers that decide nothing, and what `load` replaces.
NUMBERS = {'mlp_ratio', 'dropout', 'zero_init', 'threshold', 'max_tokens'}
FILES = {'pretrained', 'vocab_file', 'config', 'init_cfg'}


def model_kind(name):
    """Return what decides which code the model of a config runs."""

    def keep(content):
        return {k: content[k] for k in content.keys() - NUMBERS - FILES}

    model = shrink(deepcopy(read(name)), '').model
    model = json.loads(json.dumps(model), object_hook=keep)
    return json.dumps(model, sort_keys=True)


def data_kind(name):
    """Return what decides how a config reads and scores its data."""
    cfg = shrink(deepcopy(read(name)), '')
    data = cfg.train_dataloader.dataset, cfg.val_dataloader.dataset
    parts = [(d.type, d.pipeline) for d in data]
    return json.dumps([parts, cfg.val_evaluator], sort_keys=True)


def cover(names, *kinds):
    """Choose configs so that each kind of each sort is met."""
    chosen, seen = [], set()
    for name in names:
        found = {(kind, kind(name)) for kind in kinds}
        if not found <= seen:
            chosen.append(name)
        seen |= found
    return chosen


@pytest.fixture(scope='module')
def load(tmp_path_factory):
    """Load a config by name, with BERT and vocabulary that are here.

    Configs name vocabularies by paths of data that need not be here.
    """
    vocab = tmp_path_factory.mktemp('vocab') / 'vocab.txt'
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    vocab.write_text('\n'.join([*special, *WORDS.split()]) + '\n')

    def load(name):
        cfg = deepcopy(read(name))
        init_default_scope(cfg.default_scope)
        cfg.model.pop('init_cfg', None)
        text_encoder = cfg.model.text_encoder
        if text_encoder is not None:
            text_encoder.vocab_file = str(vocab)
            if text_encoder.get('pretrained'):
                # BERT-base's own sizes are the defaults of its config.
                text_encoder.pop('pretrained')
                text_encoder.config = dict()
        return cfg

    return load


@functools.cache
def build_without_memory(model):
    with torch.device('meta'):
        return MODELS.build(json.loads(model))


@pytest.mark.parametrize('name', CONFIGS)
def test_config_builds_at_full_size(name, load):
    cfg = load(name)
    # The same model with other data or another schedule is built once.
    model = build_without_memory(json.dumps(cfg.model.to_dict()))
    build_optim_wrapper(model, cfg.optim_wrapper)
    for loader in ('train', 'val', 'test'):
        for transform in cfg[f'{loader}_dataloader'].dataset.pipeline:
            TRANSFORMS.build(transform)
    METRICS.build(cfg.val_evaluator)
    METRICS.build(cfg.test_evaluator)
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        HOOKS.build(hook)
    assert cfg.visualizer.type in VISUALIZERS


def shrink(cfg, data_root):
    """Keep what a config says, at widths of a few thousand parameters."""
    model = cfg.model
    model.data_preprocessor.size = SIZE
    if model.text_encoder is not None:
        model.text_encoder.config = dict(
            hidden_size=24,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=24,
        )
    model.backbone.update(
        arch=dict(
            embed_dims=16, depth=3, num_heads=2, global_attn_indexes=(1,)
        ),
        patch_size=8,
        img_size=64,
        window_size=3,
        out_channels=32,
    )
    injector = model.backbone.get('text_injector')
    if injector is not None and 'Cross' in injector.type:
        injector.update(inner_dims=8, num_heads=2)
    if injector is not None and 'first_block' in injector:
        injector.first_block = 2
    model.decode_head.update(embed_dims=32, num_heads=2, mlp_dims=32)
    for loader in ('train', 'val', 'test'):
        dataset = cfg[f'{loader}_dataloader'].dataset
        dataset.data_root = str(data_root)
        resized = False
        for transform in dataset.pipeline:
            if transform.type == 'Resize':
                transform.scale, resized = SIZE, True
            if transform.type == 'RandomChoiceResize':
                transform.scales, resized = [SIZE, (24, 24)], True
        if not resized:
            # The ground truth is resized with the image in training only.
            resize = dict(type='Resize', scale=SIZE, keep_ratio=True)
            dataset.pipeline.insert(2 if loader == 'train' else 1, resize)
    return cfg


def train(cfg, model, steps=1):
    """Take optimizer steps on the first items of the training split."""
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    batch = pseudo_collate([dataset[i] for i in range(min(2, len(dataset)))])
    model.train()
    for _ in range(steps):
        losses = model.train_step(batch, wrapper)
    return losses


def evaluate(cfg, model):
    """Score the validation split, in batches of one."""
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    metric = METRICS.build(cfg.val_evaluator)
    metric.dataset_meta = dataset.metainfo
    model.eval()
    masks = []
    with torch.no_grad():
        for item in dataset:
            samples = model.val_step(pseudo_collate([item]))
            masks += [sample.seg_logits.data for sample in samples]
            metric.process(None, [sample.to_dict() for sample in samples])
    return metric.evaluate(len(dataset)), masks


@pytest.mark.parametrize(
    'name',
    cover([n for n in CONFIGS if '-frozen' not in n], model_kind, data_kind),
)
def test_config_trains_scores_and_comes_back(name, load, tiny_data, tmp_path):
    cfg = shrink(load(name), tiny_data)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    losses = train(cfg, model)
    assert losses['loss'].isfinite() and losses['loss'] > 0
    metrics, masks = evaluate(cfg, model)
    assert 0 <= metrics['mIoU'] <= 100
    path = str(tmp_path / 'model.pth')
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    other = MODELS.build(cfg.model)
    load_checkpoint(other, path)
    again, same = evaluate(cfg, other)
    assert again == metrics
    assert all(map(torch.equal, masks, same))


@pytest.mark.parametrize(
    'name', cover([n for n in CONFIGS if '-frozen' in n], model_kind)
)
def test_frozen_rows_leave_the_frozen_parts_alone(name, load, tiny_data):
    cfg = shrink(load(name), tiny_data)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train(cfg, model, steps=3)
    after = model.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    injected = {k for k in before if k.startswith('backbone.text_injector.')}
    encoder = {k for k in before if k.startswith('backbone.')} - injected
    text = {k for k in before if k.startswith('text_encoder.')}
    assert not moved & encoder
    assert injected <= moved
    assert {k for k in moved if k.startswith('decode_head.text_proj.')}
    frozen_text = '-frozen-text' in name
    assert bool(moved & text) != frozen_text
    for key, module in model.named_modules():
        is_frozen = key.startswith('backbone.') and not key.startswith(
            'backbone.text_injector'
        )
        if key.startswith('text_encoder.'):
            is_frozen = frozen_text
        if key.startswith(('backbone.', 'text_encoder.')):
            assert module.training != is_frozen, key


def test_ldit_follows_the_papers_recipe():
    name = 'dit/ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
    cfg = Config.fromfile(ROOT / 'configs' / name)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == ('Adam', 1e-4)
    assert (optimizer.betas, optimizer.eps) == ((0.9, 0.98), 1e-9)
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.15
    assert cfg.train_cfg.max_epochs == 40
    assert 4 * cfg.train_dataloader.batch_size == 64
    parameter = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], lr=1.0)
    rates = learning_rates(cfg.param_scheduler, sgd, steps_per_epoch=10)
    assert rates[0] < 0.01 and rates[15] == pytest.approx(0.5, abs=0.05)
    assert rates[31] == rates[299] == pytest.approx(1.0)
    assert rates[301] == pytest.approx(0.2)
    assert rates[351] == rates[-1] == pytest.approx(0.04)


def test_the_cosine_schedule_is_that_of_the_release():
    name = 'dit/ldit_sam-vit-b_4xb16-cosine-40e_refcoco-512x512.py'
    cfg = Config.fromfile(ROOT / 'configs' / name)
    assert cfg.optim_wrapper.optimizer.lr == 1e-4
    parameter = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([parameter], lr=1e-4)
    rates = learning_rates(cfg.param_scheduler, sgd, steps_per_epoch=10)
    assert rates[0] == pytest.approx(1e-7)
    assert max(rates) == pytest.approx(1e-4, rel=0.01)
    assert 29 <= rates.index(max(rates)) <= 31
    assert rates[-1] == pytest.approx(1e-6, rel=0.3)


@pytest.mark.parametrize('steps', [3000, 1000, 40, 1])
def test_max_iters_alone_decides_when_the_schedule_ends(steps, tmp_path):
    cfg = read('synthref/ldit_tiny_synthref-64x64.py')
    train_cfg = dict(cfg.train_cfg, max_iters=steps)
    parameter = torch.nn.Parameter(torch.zeros(1))
    runner = Runner(
        model=torch.nn.Linear(1, 1),
        work_dir=str(tmp_path),
        train_cfg=train_cfg,
        train_dataloader=dict(
            dataset=[0], sampler=dict(type='InfiniteSampler')
        ),
        optim_wrapper=dict(optimizer=torch.optim.SGD([parameter], lr=1.0)),
        experiment_name=f'{tmp_path.name}-{steps}',
        default_scope='mmdit',
        log_level='ERROR',
    )
    runner._train_loop = runner.build_train_loop(train_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    optimizer = runner.optim_wrapper.optimizer
    schedulers = runner.build_param_scheduler(cfg.param_scheduler)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    warm = min(steps, 100)
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[warm - 1 if steps <= 100 else 100]
    if steps > 100:
        half = math.cos(math.pi * (steps // 2 - 100) / (steps - 100))
        assert rates[steps // 2] == pytest.approx(0.5 * (1 + half))
        assert rates[-1] < 1e-4


def test_a_pipeline_without_the_flip_is_as_documented():
    page = (ROOT / 'docs/own_data.md').read_text()
    (block,) = re.findall(r'```python\n(\s+_base_.*?)```', page, re.S)
    assert 'ReferFlip' in block
    text = textwrap.dedent(block).replace("'./", f"'{ROOT}/configs/dit/")
    cfg = Config.fromstring(text, '.py')
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert 'RandomChoiceResize' in steps and 'ReferFlip' not in steps


def learning_rates(schedulers, optimizer, steps_per_epoch):
    """Step the schedulers as the Runner does."""
    from mmengine.registry import PARAM_SCHEDULERS

    built = []
    for scheduler in schedulers:
        cfg = dict(scheduler, optimizer=optimizer)
        if cfg.pop('convert_to_iter_based', False):
            cls = PARAM_SCHEDULERS.get(cfg.pop('type'))
            cfg['epoch_length'] = steps_per_epoch
            built.append(cls.build_iter_from_epoch(**cfg))
        else:
            built.append(PARAM_SCHEDULERS.build(cfg))
    rates = []
    for _ in range(40):
        for _ in range(steps_per_epoch):
            rates.append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            for scheduler in built:
                if not scheduler.by_epoch:
                    scheduler.step()
        for scheduler in built:
            if scheduler.by_epoch:
                scheduler.step()
    return rates


def test_the_averaged_weights_decay_as_the_paper_says():
    from mmengine.registry import MODELS as AVERAGES

    name = 'dit/ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
    (hook,) = Config.fromfile(ROOT / 'configs' / name).custom_hooks
    source = torch.nn.Linear(1, 1, bias=False)
    average = AVERAGES.build(
        dict(
            type=hook.ema_type,
            model=source,
            momentum=hook.momentum,
            gamma=hook.gamma,
        )
    )
    expected = None
    for step in range(60):
        torch.nn.init.constant_(source.weight, float(step))
        average.update_parameters(source)
        if expected is None:
            expected = float(step)
            continue
        # MMEngine counts its first update, a copy, as step 0.
        decay = min(0.9997, (1 + (step - 1)) / (10 + (step - 1)))
        expected = decay * expected + (1 - decay) * step
        got = average.module.weight.item()
        assert got == pytest.approx(expected, rel=1e-4)
