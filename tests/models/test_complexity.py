import copy
from itertools import cycle

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample
from small_models import INJECTORS
from torch.utils.flop_counter import FlopCounterMode

from mmdit.models.complexity import count_config, count_model
from mmdit.registry import MODELS

# Not square, and not a multiple of the windows of 3 patches.
SIZE = (32, 56)


def smaller(segmentor):
    """Return the same with fewer layers: every operator takes its time."""
    segmentor['text_encoder']['config']['num_hidden_layers'] = 1
    segmentor['backbone']['arch']['depth'] = 2
    segmentor['decode_head']['num_layers'] = 1
    return segmentor


@pytest.fixture
def tiny_segmentor(tiny_segmentor):
    return smaller(tiny_segmentor)


@pytest.fixture(scope='module')
def counted(shared_segmentor):
    """What is counted of it, at its own size."""
    return count_config(smaller(copy.deepcopy(shared_segmentor)))


def plain_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, scale=None, **kwargs
):
    """``scaled_dot_product_attention`` as products that can be counted."""
    scores = query @ key.transpose(-2, -1)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, float('-inf'))
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1) @ value


def use_plain_attention(monkeypatch):
    monkeypatch.setattr(
        'mmdit.models.layers.attention.choose_backend', lambda *_: 'reference'
    )
    monkeypatch.setattr(F, 'scaled_dot_product_attention', plain_attention)


def run(model, prompts=None, expressions=1):
    sample = SegDataSample(metainfo=dict(expression='the red circle'))
    if prompts is not None:
        sample.prompts = prompts
    images = torch.randn(1, 3, *SIZE, generator=torch.manual_seed(0))
    images = images.expand(expressions, -1, -1, -1)
    with torch.no_grad():
        return model(images, [sample] * expressions, mode='tensor')


def build(cfg):
    torch.manual_seed(0)
    model = MODELS.build(cfg).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def count_by_dispatch(model, *args):
    """FLOPs of a run by part, as torch's own counter sees them."""
    with FlopCounterMode(display=False) as counter:
        run(model, *args)
    counts = counter.get_flop_counts()
    flops = {
        part: sum(counts.get(f'ReferringSegmentor.{part}', {}).values())
        for part in ('text_encoder', 'backbone', 'decode_head')
    }
    assert sum(flops.values()) == counter.get_total_flops()
    return flops


# Injectors and windows know nothing of each other: each is met once or more.
@pytest.mark.parametrize(
    ('injector', 'attention'),
    list(zip(INJECTORS, cycle(['windowed', 'all']), strict=False)),
)
def test_a_whole_run_counts_the_same(
    tiny_segmentor, monkeypatch, injector, attention
):
    backbone = tiny_segmentor['backbone']
    backbone.update(attention=attention, window_size=3)
    backbone['arch']['global_attn_indexes'] = (1,)
    late = attention == 'windowed'
    backbone['text_injector'] = injector and dict(
        type=f'mmdit.{injector}', first_block=int(late)
    )
    model = build(tiny_segmentor)
    expected = run(model)
    use_plain_attention(monkeypatch)
    torch.testing.assert_close(run(model), expected, atol=1e-4, rtol=1e-4)
    flops = count_by_dispatch(model)
    assert count_config(tiny_segmentor, SIZE).flops == flops
    assert count_model(model, SIZE).flops == flops


@pytest.mark.parametrize('first_block', [0, 1, None])
def test_several_expressions_share_what_is_before_the_text(
    tiny_segmentor, monkeypatch, first_block
):
    injector = dict(type='mmdit.EndToEndProjection', first_block=first_block)
    tiny_segmentor['backbone']['text_injector'] = (
        None if first_block is None else injector
    )
    use_plain_attention(monkeypatch)
    model = build(tiny_segmentor)
    flops = count_by_dispatch(model, None, 3)
    assert count_config(tiny_segmentor, SIZE, 3).flops == flops
    alone = count_config(tiny_segmentor, SIZE).flops
    assert alone['backbone'] <= flops['backbone'] < 3 * alone['backbone']


def test_points_instead_of_text_are_counted(tiny_segmentor, monkeypatch):
    tiny_segmentor['text_encoder'] = None
    tiny_segmentor['backbone']['text_injector'] = None
    use_plain_attention(monkeypatch)
    prompts = BaseDataElement(
        points=torch.ones(1, 2), labels=torch.ones(1).long()
    )
    flops = count_by_dispatch(build(tiny_segmentor), prompts)
    assert count_config(tiny_segmentor, SIZE).flops == flops


def test_the_size_is_the_configs_unless_given(tiny_segmentor, counted):
    assert counted == count_config(tiny_segmentor, (32, 32))
    assert counted != count_config(tiny_segmentor, SIZE)


def test_counting_leaves_config_and_model_alone(tiny_segmentor):
    """Nor does it load weights."""
    tiny_segmentor['init_cfg'] = dict(
        type='mmdit.SAMPretrained', checkpoint='/nowhere/sam.pth'
    )
    before = copy.deepcopy(tiny_segmentor)
    init_default_scope('mmdit')
    count_config(tiny_segmentor)
    assert tiny_segmentor == before
    tiny_segmentor['backbone']['attention_backend'] = 'folded'
    model = build(tiny_segmentor)
    count_model(model, SIZE)
    assert model.backbone.blocks[0].attn.backend == 'folded'


def test_frozen_parts_do_not_train_but_work(tiny_segmentor, counted):
    tiny_segmentor['backbone']['frozen'] = True
    frozen = count_config(tiny_segmentor)
    assert frozen.flops == counted.flops
    assert frozen.parameters == counted.parameters
    model = build(tiny_segmentor)
    injector = set(model.backbone.text_injector.parameters())
    sam = set(model.backbone.parameters()) - injector
    assert counted.trainable - frozen.trainable == sum(p.numel() for p in sam)


def test_bert_base_needs_no_file(tiny_segmentor):
    tiny_segmentor['backbone']['text_injector'] = None
    tiny_segmentor['text_encoder'] = None
    without = count_config(tiny_segmentor)
    tiny_segmentor['text_encoder'] = dict(
        type='mmdit.BertTextEncoder', pretrained='bert-base-uncased'
    )
    base = count_config(tiny_segmentor)
    # 109,482,240 as published, less the pooler; and the head's projection.
    bert = 109_482_240 - 768 * 769 + 32 * 769
    assert base.parameters - without.parameters == bert
    layers = 12 * 2 * 20 * (4 * 768**2 + 2 * 768 * 3072 + 2 * 20 * 768)
    assert base.flops['text_encoder'] == layers


def test_a_bert_directory_gives_its_sizes(tiny_segmentor, bert_dir, counted):
    tiny_segmentor['text_encoder'] = dict(
        type='mmdit.BertTextEncoder',
        pretrained=bert_dir,
        max_tokens=8,
        num_layers=1,
    )
    assert count_config(tiny_segmentor) == counted


def test_an_unknown_bert_is_rejected(tiny_segmentor):
    tiny_segmentor['text_encoder'] = dict(
        type='mmdit.BertTextEncoder', pretrained='nobody/bert'
    )
    with pytest.raises(ValueError, match='nobody/bert'):
        count_config(tiny_segmentor)


@pytest.mark.parametrize(
    'family', ['roberta', 'deberta-v2', 'modernbert', 'clip']
)
def test_every_family_of_text_encoders_is_counted(
    tiny_segmentor, small_encoder, family, monkeypatch
):
    tiny_segmentor['text_encoder'] = dict(
        type='mmdit.HFTextEncoder',
        pretrained=small_encoder(family),
        max_tokens=8,
    )
    use_plain_attention(monkeypatch)
    flops = count_by_dispatch(build(tiny_segmentor))
    assert count_config(tiny_segmentor, SIZE).flops == flops
