"""What MMEngine reads: load_from, resume and Pretrained."""

from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.logging import HistoryBuffer
from mmengine.model import (
    BaseModel,
    MMDistributedDataParallel,
    MomentumAnnealingEMA,
)
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from mmengine.runner import load_state_dict as mmengine_load
from safetensors.torch import save_file
from serving import serve
from small_checkpoints import make_hf_sam, make_sam, to_authors

from mmdit.engine.loading import SafeRunner


def assert_loaded(model, sam):
    key = 'mask_decoder.transformer.final_attn_token_to_image.q_proj.weight'
    expected = sam.state_dict()
    assert torch.equal(model.decode_head.state_dict()[key], expected[key])
    assert torch.equal(
        model.backbone.pos_embed, expected['image_encoder.pos_embed']
    )


@pytest.mark.parametrize('loads', ['torch', 'mmengine'])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_foreign_keys_are_renamed_before_loading(
    textless, sam, random_model, said, loads, prefix
):
    model = random_model(textless)
    given = {prefix + k: v for k, v in sam.state_dict().items()}
    keys = list(given)
    if loads == 'torch':
        model.load_state_dict(given)
    else:
        mmengine_load(model, given)
    assert_loaded(model, sam)
    assert list(given) == keys
    assert "Meta's SAM" in said[0]


def test_sam_alone_is_rejected_by_a_model_with_text(config, sam, random_model):
    with pytest.raises(ValueError, match='SAMPretrained') as error:
        random_model(config).load_state_dict(sam.state_dict())
    assert 'missing: text_encoder.' in str(error.value)


def test_unknown_keys_are_rejected(textless, random_model):
    with pytest.raises(ValueError, match=r'unknown: layer\.weight'):
        mmengine_load(random_model(textless), {'layer.weight': torch.zeros(1)})


@pytest.fixture
def process_group(tmp_path):
    store = f'file://{tmp_path}/store'
    torch.distributed.init_process_group(
        'gloo', init_method=store, rank=0, world_size=1
    )
    yield
    torch.distributed.destroy_process_group()


def test_wrapped_models_take_foreign_keys(
    ldit, sam, random_model, process_group
):
    expected = random_model(ldit, seed=8).state_dict()
    theirs = to_authors(expected)
    model = random_model(ldit)
    mmengine_load(MMDistributedDataParallel(model), theirs)
    assert torch.equal(
        model.backbone.pos_embed, expected['backbone.pos_embed']
    )
    model = random_model(ldit)
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    wrapped.load_state_dict({f'module.{k}': v for k, v in theirs.items()})
    assert torch.equal(
        model.backbone.pos_embed, expected['backbone.pos_embed']
    )


def test_averaged_models_take_foreign_keys(ldit, random_model):
    expected = random_model(ldit, seed=8).state_dict()
    averaged = MomentumAnnealingEMA(random_model(ldit))
    given = {f'module.{k}': v for k, v in to_authors(expected).items()}
    averaged.load_state_dict({**given, 'steps': torch.tensor(3)})
    assert averaged.steps == 3
    assert torch.equal(
        averaged.module.backbone.pos_embed, expected['backbone.pos_embed']
    )


@pytest.fixture
def served():
    """What ends with the test."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize('form', ['pth', 'safetensors', 'directory', 'url'])
def test_load_from_takes_every_form(
    safe, textless, random_model, tmp_path, monkeypatch, served, form
):
    """Through the Runner, with weights that are averaged."""
    sam, hf_sam = make_sam(), make_hf_sam()
    path = tmp_path / 'files' / f'sam.{form}'
    path.parent.mkdir()
    if form == 'directory':
        hf_sam.save_pretrained(path)
    elif form == 'safetensors':
        save_file(sam.state_dict(), path)
    else:
        torch.save(sam.state_dict(), path)
    location = str(path)
    if form == 'url':
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'cache'))
        handler = partial(SimpleHTTPRequestHandler, directory=path.parent)
        location = f'{served.enter_context(serve(handler))}/{path.name}'
    runner = Runner(
        model=random_model(textless),
        work_dir=str(tmp_path / 'work'),
        load_from=location,
        custom_hooks=[dict(type='EMAHook')],
        default_hooks=dict(runtime_info=None),
        default_scope='mmdit',
        experiment_name=f'load_from_{form}',
    )
    runner.call_hook('before_run')
    runner.load_or_resume()
    expected = sam.image_encoder.pos_embed
    if form == 'directory':
        expected = hf_sam.vision_encoder.pos_embed
    assert torch.equal(runner.model.backbone.pos_embed, expected)
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, EMAHook)]
    averaged = hook.ema_model.module.backbone.pos_embed
    assert torch.equal(averaged, expected)


class Line(BaseModel):
    """A model of one parameter."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, mode='tensor'):
        return dict(loss=(self.slope * x).square().mean())


def make_runner(work_dir, name, **options):
    return SafeRunner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(x=torch.tensor(float(i))) for i in range(8)],
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=4),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        param_scheduler=[
            dict(type='CosineAnnealingLR', T_max=4, by_epoch=False)
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)
        ),
        custom_hooks=[dict(type='EMAHook', ema_type='MomentumAnnealingEMA')],
        default_scope='mmdit',
        randomness=dict(seed=0),
        experiment_name=name,
        **options,
    )


def test_mmengines_own_checkpoints_resume_completely(safe, tmp_path):
    straight = make_runner(tmp_path, 'straight')
    straight.train()
    again = make_runner(
        tmp_path,
        'again',
        resume=True,
        load_from=str(tmp_path / 'iter_2.pth'),
    )
    again.train()
    assert torch.equal(again.model.slope, straight.model.slope)
    one, two = (
        torch.load(path, weights_only=False)
        for path in (tmp_path / 'iter_2.pth', tmp_path / 'iter_4.pth')
    )
    assert one['ema_state_dict']['steps'] == 2
    assert two['ema_state_dict']['steps'] == 4
    history = again.message_hub.get_scalar('train/loss')
    assert isinstance(history, HistoryBuffer)
    assert len(history.data[0]) == 4


@pytest.mark.parametrize(
    'change',
    [
        lambda saved: saved['meta'].pop('iter'),
        lambda saved: saved['optimizer']['param_groups'].append({}),
        lambda saved: saved.update(param_schedulers=[3]),
        lambda saved: saved['message_hub'].pop('log_scalars'),
        lambda saved: saved.update(message_hub='all'),
    ],
    ids=['iter', 'optimizer', 'schedule', 'scalars', 'message_hub'],
)
def test_what_does_not_fit_a_run_is_one_sentence(safe, tmp_path, change):
    make_runner(tmp_path, str(tmp_path)).train()
    path = tmp_path / 'iter_2.pth'
    saved = torch.load(path, weights_only=False)
    change(saved)
    torch.save(saved, path)
    again = make_runner(tmp_path, str(tmp_path / 'again'))
    with pytest.raises(ValueError, match='iter_2.pth: training cannot go on'):
        again.resume(str(path))


def test_other_places_are_rejected(safe, monkeypatch):
    for location in ('s3://bucket/a.pth', 'openmmlab://resnet'):
        with pytest.raises(ValueError, match='download it'):
            load_checkpoint(Line(), location)
    with pytest.raises(KeyError, match="no model 'nothing'"):
        load_checkpoint(Line(), 'torchvision://nothing')


def test_every_scheme_of_mmengine_is_replaced(safe):
    loaders = CheckpointLoader._schemes.values()
    assert {x.__module__ for x in loaders} == {'mmdit.engine.loading'}
