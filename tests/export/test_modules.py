"""Parts of every variant, traced and converted."""

import pytest
import torch
from exported_models import build_model
from mmseg.structures import SegDataSample
from small_models import INJECTORS

from mmdit.export.check import largest_differences, open_file
from mmdit.export.modules import MaskPart, attention_backend, make_parts
from mmdit.export.onnx import save_onnx
from mmdit.export.program import save_program, trace
from mmdit.models.layers import BACKENDS


def compare_both(part, folder):
    """Export a part in both formats and return the largest difference."""
    program = trace(part)
    save_onnx(part, program, folder / 'part.onnx')
    save_program(program, folder / 'part.pt2')
    return max(
        value
        for path in folder.glob('part.*')
        for value in largest_differences(part, open_file(part, path)).values()
    )


@pytest.mark.parametrize(
    ('injector', 'attention'),
    [
        # Each traces and converts for seconds; one stands for all.
        pytest.param(
            injector,
            attention,
            marks=[]
            if (injector, attention) == ('EndToEndToken', 'windowed')
            else pytest.mark.slow,
        )
        for injector in INJECTORS
        for attention in ('all', 'windowed')
    ],
)
def test_every_variant_is_exported(
    tiny_segmentor, tmp_path, injector, attention
):
    part = MaskPart(build_model(tiny_segmentor, injector, attention))
    assert compare_both(part, tmp_path) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('attention', ['all', 'windowed'])
def test_padding_may_be_masked(tiny_segmentor, tmp_path, attention):
    model = build_model(tiny_segmentor, attention=attention, mask_padding=True)
    for part in make_parts(model):
        assert 'real' in part.example(1, 1)
        assert compare_both(part, tmp_path) < 1e-4


@pytest.mark.parametrize('multimask', [False, True])
@pytest.mark.parametrize('train_points', [False, True])
def test_the_part_is_what_the_segmentor_computes(
    tiny_segmentor, train_points, multimask
):
    tiny_segmentor['decode_head'].update(
        train_points=train_points, multimask=multimask
    )
    model = build_model(tiny_segmentor)
    text_part, mask_part = make_parts(model)
    samples = [
        SegDataSample(metainfo=dict(expression=expression))
        for expression in ('red circle', 'the big blue square on the left')
    ]
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected = model.encode_decode(image, samples)
        ids, real = model.text_encoder.tokenize(
            [sample.expression for sample in samples]
        )
        logits, scores = mask_part(image, text_part(ids, real.long()))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    assert logits.shape[1] == scores.shape[1] == (3 if multimask else 1)


def test_the_backend_is_given_back(tiny_segmentor):
    tiny_segmentor['backbone']['attention_backend'] = 'reference'
    model = build_model(tiny_segmentor)
    with attention_backend(model, 'folded'):
        assert model.backbone.blocks[0].attn.backend == 'folded'
    assert model.backbone.blocks[0].attn.backend == 'reference'


@pytest.mark.slow
@pytest.mark.parametrize('name', ['reference', 'folded'])
def test_either_traceable_backend_will_do(tiny_segmentor, name):
    part = MaskPart(build_model(tiny_segmentor))
    assert name in BACKENDS
    program = trace(part, name).module()
    found = largest_differences(part, lambda x: program(*x.values()))
    assert max(found.values()) < 1e-4


def test_what_cannot_be_exported_is_refused(tiny_segmentor):
    model = build_model(tiny_segmentor)
    with pytest.raises(ValueError, match=r'eval\(\)'):
        make_parts(model.train())
    with pytest.raises(TypeError, match='cannot export a SAMViT'):
        make_parts(model.backbone)
    model.text_encoder = None
    with pytest.raises(TypeError, match='text_encoder is NoneType'):
        make_parts(model.eval())


def test_differences_are_found(tiny_segmentor):
    part = MaskPart(build_model(tiny_segmentor))

    def wrong(inputs):
        logits, scores = part(*inputs.values())
        return logits + 0.5, torch.full_like(scores, torch.nan)

    found = largest_differences(part, wrong)
    assert found['logits'] == pytest.approx(0.5, abs=1e-5)
    assert found['scores'] != found['scores']
    with pytest.raises(ValueError, match='logits has shape'):
        largest_differences(part, lambda inputs: (torch.zeros(1),) * 2)
