"""``mmdit test --tta``: views of an image and its words, and their mean."""

import json
from copy import deepcopy

import cv2
import pytest
import torch
from in_process import call_mmdit
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from small_models import make_config, save_weights
from torch.nn import functional as F

from mmdit.datasets.transforms.geometry import swap_sides
from mmdit.engine.testing import use_tta
from mmdit.registry import DATASETS, MODELS
from mmdit.resources import resolve_config


def make(cfg, pipeline=None):
    """Build the model of a config, and a batch of all its items."""
    dataset = deepcopy(cfg.test_dataloader.dataset)
    dataset.pipeline = deepcopy(pipeline or dataset.pipeline)
    with DefaultScope.overwrite_default_scope('mmdit'):
        items = DATASETS.build(dataset)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model).eval()
    return model, pseudo_collate([items[i] for i in range(len(items))])


@pytest.fixture
def cfg(tiny_segmentor, tiny_refer, tmp_path):
    cfg = make_config(tiny_segmentor, tiny_refer)
    cfg.load_from = save_weights(cfg, tmp_path / 'weights.pth')
    return cfg


def predict(cfg, pipeline=None):
    model, batch = make(cfg, pipeline)
    weights = torch.load(cfg.load_from)['state_dict']
    getattr(model, 'module', model).load_state_dict(weights)
    with torch.no_grad():
        return model.test_step(batch)


def test_one_view_is_the_prediction_without(cfg):
    plain = predict(cfg)
    cfg.tta_pipeline = [
        dict(
            type='TestTimeAug',
            transforms=[
                [step] for step in cfg.test_dataloader.dataset.pipeline
            ],
        )
    ]
    use_tta(cfg)
    for one, other in zip(plain, predict(cfg, cfg.tta_pipeline), strict=True):
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)
        assert one.expression == other.expression


def test_views_are_those_made_by_hand(cfg):
    """A mirrored image and swapped words, turned back, at two sizes."""
    steps = cfg.test_dataloader.dataset.pipeline

    def mirror(results):
        results['img'] = cv2.flip(results['img'], 1)
        results['expression'] = swap_sides(results['expression'])
        return results

    said = [sample.expression for sample in predict(cfg)]
    expected = []
    for size in ((32, 32), (24, 24)):
        resize = dict(steps[1], scale=size)
        for between in ([], [mirror]):
            found = predict(cfg, [steps[0], resize, *between, *steps[2:]])
            turned = [s.seg_logits.data for s in found]
            expected.append([t.flip(-1) if between else t for t in turned])
    use_tta(cfg, [1, 0.75])
    swapped = 0
    for i, merged in enumerate(predict(cfg, cfg.tta_pipeline)):
        views = torch.stack([view[i] for view in expected])
        torch.testing.assert_close(merged.seg_logits.data, views.mean(0))
        mask = merged.seg_logits.data > 0.5
        assert torch.equal(merged.pred_sem_seg.data, mask.float())
        assert (views[0] - views[1]).abs().max() > 1e-3
        swapped += swap_sides(merged.expression) != merged.expression
        # The expression as given, which rows and overlays show.
        assert merged.expression == said[i]
    assert swapped


def test_a_model_that_mirrors_with_its_input_is_unchanged(cfg, monkeypatch):
    def follow(self, inputs, samples):
        """Respond to brightness, and to a side that the words name."""
        logits = F.avg_pool2d(inputs.mean(1, keepdim=True), 4)
        ramp = torch.linspace(-3, 3, logits.shape[-1])
        side = [
            ('right' in s.expression) - float('left' in s.expression)
            for s in samples
        ]
        logits = logits + ramp * torch.tensor(side).view(-1, 1, 1, 1)
        return logits, logits.new_ones(len(samples), 1)

    # Without padding, which is a pixel more on one side of some.
    cfg.test_dataloader.dataset.pipeline[1]['keep_ratio'] = False
    kind = MODELS.get('mmdit.ReferringSegmentor')
    monkeypatch.setattr(kind, '_rated_masks', follow)
    plain = predict(cfg)
    use_tta(cfg)
    found = predict(cfg, cfg.tta_pipeline)
    assert any('left' in sample.expression for sample in plain)
    for one, other in zip(plain, found, strict=True):
        torch.testing.assert_close(one.seg_logits.data, other.seg_logits.data)


def test_the_command_scores_views(cfg, tmp_path):
    weights, cfg.load_from = cfg.load_from, None
    cfg.dump(tmp_path / 'model.py')
    for name, options in dict(
        plain=[], flipped=['--tta', '--splits', 'train', 'val']
    ).items():
        call_mmdit(
            *(tmp_path, 'test', 'model.py', weights),
            *('--out', f'{name}.json', *options),
        )
    plain, flipped = (
        json.loads((tmp_path / name).read_text())
        for name in ('plain.json', 'flipped_refcoco_train.json')
    )
    use_tta(cfg)
    cfg.load_from = weights
    merged = predict(cfg, cfg.tta_pipeline)
    pixels = [int(sample.pred_sem_seg.data.sum()) for sample in merged]
    assert [row['predicted'] for row in flipped] == pixels
    assert [row['predicted'] for row in plain] != pixels
    for key in ('expression', 'ground_truth', 'sent_id'):
        assert [r[key] for r in plain] == [r[key] for r in flipped]
    assert json.loads((tmp_path / 'flipped_refcoco_val.json').read_text())


@pytest.mark.parametrize(
    ('change', 'scales', 'message'),
    [
        ('', [1.5], 'up to 1, got 1.5'),
        ('tta_pipeline=[]', [0.5], 'does not go with the tta_pipeline'),
        ('model.threshold_first=True', None, 'threshold_first=False'),
    ],
)
def test_what_has_no_views_is_told(cfg, change, scales, message):
    key, _, value = change.partition('=')
    if key:
        cfg.merge_from_dict({key: eval(value)})
    with pytest.raises(ValueError, match=message):
        use_tta(cfg, scales)
        make(cfg, cfg.tta_pipeline)


def test_points_are_not_mirrored():
    name = 'prompts_sam-vit-b_4xb16-40e_refcoco-512x512'
    with pytest.raises(ValueError, match='without SamplePrompts'):
        use_tta(Config.fromfile(resolve_config(name)))
