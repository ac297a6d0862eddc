"""Every config under configs/ builds; adding one adds its test."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmdit.registry import HOOKS, METRICS, MODELS, TRANSFORMS, VISUALIZERS

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT / 'configs').as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)


@pytest.fixture
def vocabulary(tmp_path):
    """Configs name vocabularies by paths of data that need not be here."""
    vocab = tmp_path / 'vocab.txt'
    vocab.write_text('[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\n')
    return str(vocab)


@pytest.mark.parametrize('name', CONFIGS)
def test_config_builds_at_full_size(name, vocabulary):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    init_default_scope(cfg.default_scope)
    text_encoder = cfg.model.text_encoder
    if text_encoder.get('pretrained'):
        # BERT-base's own sizes are the defaults of its config.
        text_encoder.pop('pretrained')
        text_encoder.config = dict()
    text_encoder.vocab_file = vocabulary
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    build_optim_wrapper(model, cfg.optim_wrapper)
    for loader in ('train', 'val', 'test'):
        for transform in cfg[f'{loader}_dataloader'].dataset.pipeline:
            TRANSFORMS.build(transform)
    METRICS.build(cfg.val_evaluator)
    METRICS.build(cfg.test_evaluator)
    for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])]:
        HOOKS.build(hook)
    assert cfg.visualizer.type in VISUALIZERS


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
