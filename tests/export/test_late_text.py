"""Late text is exported as three graphs, of which one is run per image.

Here with a mask of padding, and another text encoder than in test_runner.
"""

import numpy as np
import pytest
import torch
from exported_models import RESIZE, build_model, make_config

from mmdit.apis import ReferringSegInferencer
from mmdit.export.folder import export_model
from mmdit.export.modules import make_parts
from mmdit.runtime.onnx import OnnxSegmenter

EXPRESSIONS = ['Red circle', '左边的红色圆圈']


@pytest.fixture
def model(tiny_segmentor, small_encoder):
    tiny_segmentor['decode_head']['num_layers'] = 1
    tiny_segmentor['text_encoder'] = dict(
        type='mmdit.HFTextEncoder',
        pretrained=small_encoder('roberta'),
        max_tokens=12,
        num_layers=1,
    )
    injector = dict(type='mmdit.LayerwiseCrossAttention', first_block=1)
    return build_model(tiny_segmentor, injector, 'windowed', mask_padding=True)


def test_trunk_and_masks_are_what_the_segmentor_computes(model):
    _, trunk, mask = make_parts(model)
    inputs = trunk.example(2, 1) | mask.example(2, 5)
    text = inputs['text'], inputs['attention_mask']
    with torch.no_grad():
        feats = model.extract_feat(inputs['pixel_values'], *text)
        expected = mask.decode(feats, *text)
        tokens = trunk(inputs['pixel_values'])
        found = mask(tokens, *text)
    assert tokens.shape == inputs['trunk'].shape
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
def test_a_second_query_runs_no_trunk(
    model, tiny_segmentor, tmp_path, monkeypatch
):
    config = make_config(tiny_segmentor, RESIZE)
    weights = tmp_path / 'weights.pth'
    torch.save(model.state_dict(), weights)
    learned = [p.requires_grad for p in model.parameters()]
    export_model(model, config, tmp_path / 'exported')
    assert any(learned)
    assert learned == [p.requires_grad for p in model.parameters()]
    segmenter = OnnxSegmenter(tmp_path / 'exported', threads=1)
    inferencer = ReferringSegInferencer(config, weights, 'cpu')
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(2)]
    runs = []
    trunk = segmenter._trunk

    class Counted:
        def run(self, *args):
            runs.append(args)
            return trunk.run(*args)

    monkeypatch.setattr(segmenter, '_trunk', Counted())

    def predict(runner):
        rows = runner(images, EXPRESSIONS, 4, return_probabilities=True)
        rows = rows['predictions']
        # Bytes spell all words.
        assert all(row['unknown_words'] is None for row in rows)
        return np.stack([row['probabilities'] for row in rows])

    first = predict(segmenter)
    assert len(runs) == 2
    np.testing.assert_allclose(first, predict(inferencer), atol=1e-4)
    assert np.array_equal(predict(segmenter), first) and len(runs) == 2
    segmenter.trunks.max_bytes = 0
    segmenter.trunks.clear()
    assert np.array_equal(predict(segmenter), first) and len(runs) == 4
