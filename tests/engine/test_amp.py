import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper

from mmdit.engine import amp
from mmdit.engine.amp import BFloat16OptimWrapper, use_amp
from mmdit.registry import OPTIM_WRAPPERS


def config(**kwargs):
    optimizer = dict(type='SGD', lr=0.1)
    wrapper = dict(dict(type='OptimWrapper', optimizer=optimizer), **kwargs)
    return Config(dict(optim_wrapper=wrapper))


@pytest.fixture(params=[None, 'old', 'new'])
def gpu(request, monkeypatch):
    """No GPU, one that emulates bfloat16, and one that has it."""
    here = request.param is not None
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: here)
    monkeypatch.setattr(
        torch.cuda,
        'is_bf16_supported',
        lambda including_emulation=True: (
            including_emulation or request.param == 'new'
        ),
    )
    return request.param


def test_bfloat16_is_chosen_unless_a_gpu_lacks_it(gpu):
    cfg = config(clip_grad=dict(max_norm=1))
    use_amp(cfg)
    wrapper = cfg.optim_wrapper
    assert wrapper.optimizer.type == 'SGD' and wrapper.clip_grad.max_norm == 1
    if gpu == 'old':
        assert OPTIM_WRAPPERS.get(wrapper.type) is AmpOptimWrapper
        assert (wrapper.dtype, wrapper.loss_scale) == ('float16', 'dynamic')
    else:
        assert OPTIM_WRAPPERS.get(wrapper.type) is BFloat16OptimWrapper
        assert 'dtype' not in wrapper and 'loss_scale' not in wrapper


def test_a_named_dtype_goes_before_the_config(gpu):
    cfg = config(type='AmpOptimWrapper', dtype='float16', loss_scale=512.0)
    use_amp(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0
    use_amp(cfg, 'bfloat16')
    assert cfg.optim_wrapper.type == 'BFloat16OptimWrapper'
    assert 'loss_scale' not in cfg.optim_wrapper
    if gpu is None:
        with pytest.raises(ValueError, match='float16 needs a GPU'):
            use_amp(cfg, 'float16')
    else:
        use_amp(cfg, 'float16')
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper'


def test_other_wrappers_and_dtypes_are_rejected():
    with pytest.raises(ValueError, match='type OptimWrapper .* got ApexOpt'):
        use_amp(config(type='ApexOptimWrapper'))
    with pytest.raises(ValueError, match="unknown dtype 'int8'.*bfloat16"):
        use_amp(config(), 'int8')


def test_products_are_in_bfloat16_and_weights_are_not():
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = OPTIM_WRAPPERS.build(
        dict(type='mmdit.BFloat16OptimWrapper', optimizer=optimizer)
    )
    before = model.weight.detach().clone()
    with wrapper.optim_context(model):
        out = model(torch.ones(1, 3))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32
    torch.testing.assert_close(model.weight, before - 0.1)


@pytest.mark.parametrize('has_it', [True, False])
def test_a_cpu_without_bfloat16_is_named(gpu, has_it, monkeypatch):
    said = []
    monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: has_it)
    monkeypatch.setattr(amp, 'print_log', lambda text, **_: said.append(text))
    use_amp(config())
    warned = any('no instructions for bfloat16' in text for text in said)
    assert warned == (gpu is None and not has_it)
