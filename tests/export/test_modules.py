"""Parts of every variant, traced and converted."""

import pytest
import torch
from exported_models import build_model
from mmseg.structures import SegDataSample

from mmdit.export.check import largest_differences
from mmdit.export.modules import MaskPart, make_parts
from mmdit.export.program import trace, without_gradients


class EncoderPart(MaskPart):
    """The image encoder alone; the decoder, which takes longer, is the same.

    Both are exported in test_runner, and with a mask in test_late_text.
    """

    outputs = ('features',)

    def forward(self, pixel_values, text, attention_mask=None):
        return self.segmentor.extract_feat(pixel_values, text, attention_mask)[
            -1
        ]


def traced(part, *args):
    """Return what runs the traced program of a part."""
    with without_gradients(part):
        module = trace(part, *args).module()
    return lambda inputs: [module(*inputs.values())]


def largest_difference(part, run):
    return max(largest_differences(part, run).values())


@pytest.mark.parametrize(
    ('injector', 'attention'),
    # The others: where the decoder is.
    [
        (None, 'windowed'),
        ('LayerwiseToken', 'all'),
        ('EndToEndProjection', 'windowed'),
        ('EndToEndToken', 'all'),
        ('LayerwiseCrossAttentionFFN', 'windowed'),
    ],
)
def test_variants_are_traced(tiny_segmentor, injector, attention):
    part = EncoderPart(build_model(tiny_segmentor, injector, attention))
    assert largest_difference(part, traced(part)) < 1e-4


@pytest.mark.parametrize('multimask_output', [False, True])
@pytest.mark.parametrize('train_points', [False, True])
def test_the_part_is_what_the_segmentor_computes(
    tiny_segmentor, train_points, multimask_output
):
    tiny_segmentor['decode_head'].update(
        train_points=train_points, multimask_output=multimask_output
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
    assert logits.shape[1] == scores.shape[1] == (3 if multimask_output else 1)


def test_the_other_traceable_backend_will_do(tiny_segmentor):
    part = EncoderPart(build_model(tiny_segmentor))
    assert largest_difference(part, traced(part, 'reference')) < 1e-4


def test_what_cannot_be_exported_is_rejected(tiny_segmentor):
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
