import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from small_models import INJECTORS
from torch.nn import functional as F

from mmdit.models.heads.sam_mask_head import (
    MASK_PARTS,
    POINT_PARTS,
    UNUSED_PARTS,
)
from mmdit.registry import MODELS

EXPRESSIONS = ['red circle', 'the big blue square on the left']


def make_data(expressions=EXPRESSIONS, training=True):
    samples, images = [], []
    for i, expression in enumerate(expressions):
        height, width = 32, 20 + 4 * i
        images.append(
            torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
        )
        ori_shape = (height, width) if training else (48, 30 + 6 * i)
        sample = SegDataSample(
            metainfo=dict(
                expression=expression,
                img_shape=(height, width),
                ori_shape=ori_shape,
            )
        )
        mask = torch.zeros(1, *ori_shape, dtype=torch.uint8)
        mask[:, 5:20, 4:15] = 1
        sample.gt_sem_seg = PixelData(data=mask)
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def run(model, data, mode, training=False):
    return model(**model.data_preprocessor(data, training), mode=mode)


KEY_BIASES = ('k_proj.bias', 'key.bias')


@pytest.mark.parametrize('injector', INJECTORS)
@pytest.mark.parametrize(
    ('attention', 'first_block'), [('all', 0), ('windowed', 1)]
)
def test_every_trainable_parameter_gets_a_gradient(
    tiny_segmentor, injector, attention, first_block
):
    backbone = tiny_segmentor['backbone']
    backbone.update(attention=attention, window_size=3)
    backbone['arch']['global_attn_indexes'] = (1,)
    backbone['text_injector'] = injector and dict(
        type=f'mmdit.{injector}', first_block=first_block
    )
    torch.manual_seed(0)
    model = MODELS.build(tiny_segmentor).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    # The second step: what stands before the injectors' zero projections has
    # to wait until they have moved.
    for _ in range(2):
        optimizer.step()
        optimizer.zero_grad()
        losses = run(model, make_data(), 'loss', training=True)
        losses['loss_mask'].backward()
    without, frozen = set(), set()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            frozen.add(name)
        elif parameter.grad is None or not parameter.grad.any():
            without.add(name)
    # A constant added to all keys does not change a softmax.
    assert [n for n in without if not n.endswith(KEY_BIASES)] == []
    parts = UNUSED_PARTS + POINT_PARTS + MASK_PARTS
    heads = tuple(f'decode_head.{part}' for part in parts)
    assert frozen and all(n.startswith(heads) for n in frozen)


def test_prediction_has_the_original_size(tiny_segmentor):
    model = MODELS.build(tiny_segmentor).eval()
    data = make_data(training=False)
    batch = model.data_preprocessor(data)
    with torch.no_grad():
        samples = model(**batch, mode='predict')
        logits = model.encode_decode(
            **{
                'inputs': batch['inputs'],
                'data_samples': batch['data_samples'],
            }
        )
    for i, sample in enumerate(samples):
        width, ori_shape = 20 + 4 * i, (48, 30 + 6 * i)
        left = (32 - width) // 2
        unpadded = logits[i : i + 1, ..., left : left + width]
        resized = F.interpolate(unpadded, ori_shape, mode='bilinear')[0]
        expected = resized.sigmoid() > 0.35
        assert torch.equal(sample.pred_sem_seg.data.bool(), expected)
        assert sample.gt_sem_seg.data.shape[-2:] == ori_shape


def test_masks_can_be_made_as_the_authors_score_them(tiny_segmentor):
    """OpenCV's bilinear resize of a 0/1 mask, of which all above 0 counts."""
    model = MODELS.build({**tiny_segmentor, 'threshold_first': True}).eval()
    # Thin masks, so that dilating shows.
    model.decode_head.threshold = 0.5
    data = make_data(training=False)
    batch = model.data_preprocessor(data)
    with torch.no_grad():
        samples = model(**batch, mode='predict')
        logits = model.encode_decode(batch['inputs'], batch['data_samples'])
    grown = 0
    for i, sample in enumerate(samples):
        width, (height0, width0) = 20 + 4 * i, sample.ori_shape
        left = (32 - width) // 2
        unpadded = logits[i, 0, :, left : left + width].sigmoid() > 0.5
        mask = unpadded.numpy().astype(np.float32)
        expected = cv2.resize(mask, (width0, height0)) > 0
        found = sample.pred_sem_seg.data[0].bool().numpy()
        assert np.array_equal(found, expected)
        grown += int(found.sum() - (sample.seg_logits.data > 0.5).sum())
    assert grown > 0


def test_the_expression_reaches_encoder_and_head(tiny_segmentor):
    torch.manual_seed(0)
    model = MODELS.build(tiny_segmentor).eval()
    for parameter in model.backbone.text_injector.parameters():
        torch.nn.init.normal_(parameter)
    image = torch.randn(1, 3, 32, 32)
    feats = []
    for expression in ('red circle', 'blue square'):
        text, mask = model.text_encoder([expression])
        feats.append(model.extract_feat(image, text, mask)[0])
    assert not torch.allclose(*feats)
    assert not torch.allclose(
        model.decode_head((feats[0],), model.text_encoder(['red'])[0]),
        model.decode_head((feats[0],), model.text_encoder(['blue'])[0]),
    )


def test_batches_do_not_mix(tiny_segmentor):
    model = MODELS.build(tiny_segmentor).eval()
    for parameter in model.backbone.text_injector.parameters():
        torch.nn.init.normal_(parameter)
    images = torch.randn(2, 3, 32, 32)
    samples = make_data()['data_samples']
    both = model(images, samples)
    for i in range(2):
        alone = model(images[i : i + 1], samples[i : i + 1])
        torch.testing.assert_close(both[i : i + 1], alone)


def test_any_mm_backbone_serves_without_text(tiny_segmentor):
    tiny_segmentor['backbone'] = dict(
        type='mmdit.SAMViT',
        arch=dict(embed_dims=8, depth=1, num_heads=1),
        patch_size=8,
        out_channels=32,
    )
    model = MODELS.build(tiny_segmentor)
    assert run(model, make_data(), 'loss', True)['loss_mask'] > 0


def test_sides_of_no_whole_patches_are_named(tiny_segmentor):
    """Padding inside the encoder would shift masks."""
    tiny_segmentor['text_encoder'] = None
    tiny_segmentor['backbone'].pop('text_injector')
    model = MODELS.build(tiny_segmentor)
    with pytest.raises(ValueError, match='multiples of the patch'):
        model.extract_feat(torch.zeros(1, 3, 32, 30))


def test_missing_expressions_are_named(tiny_segmentor):
    model = MODELS.build(tiny_segmentor)
    with pytest.raises(ValueError, match='PackReferSegInputs'):
        model(torch.zeros(1, 3, 32, 32), [SegDataSample()])
    with pytest.raises(ValueError, match='PackReferSegInputs'):
        model(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (dict(img_size=128), r'pos_embed has shape .*1, 8, 8'),
        (dict(text_injector=None), r'unknown: backbone.text_injector'),
        (
            dict(arch=dict(embed_dims=16, depth=4, num_heads=2)),
            r'missing: .*blocks.3',
        ),
    ],
)
def test_mmengine_rejects_a_checkpoint_of_another_size(
    tiny_segmentor, tmp_path, change, match
):
    model = MODELS.build(tiny_segmentor)
    path = str(tmp_path / 'model.pth')
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    load_checkpoint(model, path)
    tiny_segmentor['backbone'].update(change)
    other = MODELS.build(tiny_segmentor)
    with pytest.raises(ValueError, match=match):
        load_checkpoint(other, path)


def with_points(data, labels=(1, -1)):
    """Give every item of a batch a point and padding."""
    for sample in data['data_samples']:
        sample.prompts = InstanceData(
            points=torch.tensor([[6.0, 9.0], [0.0, 0.0]]),
            labels=torch.tensor(labels),
        )
    return data


@pytest.fixture
def prompted(tiny_segmentor):
    """A segmentor without text, which trains with points and boxes."""
    tiny_segmentor['text_encoder'] = None
    tiny_segmentor['backbone']['text_injector'] = None
    tiny_segmentor['decode_head']['train_points'] = True
    torch.manual_seed(0)
    return MODELS.build(tiny_segmentor)


def test_points_train_without_text(prompted):
    data = with_points(make_data())
    data['data_samples'][0].prompts.labels = torch.tensor([2, 3])
    run(prompted, data, 'loss', training=True)['loss_mask'].backward()
    without = [
        name
        for name, parameter in prompted.named_parameters()
        if parameter.requires_grad
        and (parameter.grad is None or not parameter.grad.any())
    ]
    # No point lies outside: label 0 is not in the batch.
    assert [n for n in without if not n.endswith(KEY_BIASES)] == [
        'decode_head.prompt_encoder.point_embeddings.0.weight'
    ]


def test_points_move_with_the_padding(prompted):
    """The same pixels, padded by the file or by the preprocessor."""
    prompted.eval()
    padded, wide = with_points(make_data(['a'])), with_points(make_data(['a']))
    image = padded['inputs'][0]
    mean = torch.tensor([123.675, 116.28, 103.53]).flip(0)[:, None, None]
    wide['inputs'] = [mean.expand(3, 32, 32).clone()]
    wide['inputs'][0][:, :, 6:26] = image
    wide['data_samples'][0].prompts.points += torch.tensor([6.0, 0.0])
    wide['data_samples'][0].set_metainfo(dict(img_shape=(32, 32)))
    with torch.no_grad():
        one, other = (run(prompted, data, 'tensor') for data in (padded, wide))
    torch.testing.assert_close(one, other)
    assert padded['data_samples'][0].prompts.points[0].tolist() == [6, 9]


def test_points_may_accompany_the_words(tiny_segmentor):
    model = MODELS.build(tiny_segmentor).eval()
    data = make_data()
    with torch.no_grad():
        words = run(model, data, 'tensor')
        both = run(model, with_points(data), 'tensor')
        nowhere = run(model, with_points(data, (0, -1)), 'tensor')
    assert words.shape == both.shape
    assert not torch.allclose(words, both)
    assert not torch.allclose(nowhere, both)


def test_missing_points_are_named(prompted):
    data = make_data()
    with pytest.raises(ValueError, match='0 of 2 .*SamplePrompts'):
        run(prompted, data, 'loss', training=True)
    with_points(data)
    del data['data_samples'][1].prompts
    with pytest.raises(ValueError, match='1 of 2 .*SamplePrompts'):
        run(prompted, data, 'loss', training=True)


def test_an_injector_without_text_is_rejected(tiny_segmentor):
    tiny_segmentor['text_encoder'] = None
    with pytest.raises(ValueError, match='text_injector needs'):
        MODELS.build(tiny_segmentor)


@pytest.fixture
def together(tiny_segmentor):
    """A segmentor that trains with text, points, boxes and clicks."""
    tiny_segmentor['decode_head']['train_points'] = True
    tiny_segmentor['refinement_clicks'] = 2
    torch.manual_seed(0)
    return MODELS.build(tiny_segmentor)


def test_text_points_boxes_and_clicks_train_together(together):
    data = with_points(make_data(['red circle', None, 'blue square']))
    data['data_samples'][0].prompts.labels = torch.tensor([-1, -1])
    data['data_samples'][1].prompts.labels = torch.tensor([2, 3])
    optimizer = torch.optim.SGD(together.parameters(), lr=0.1)
    for _ in range(2):  # the injector's projections start at zero
        optimizer.step()
        optimizer.zero_grad()
        losses = run(together, data, 'loss', training=True)
        sum(losses.values()).backward()
    names = {'loss_mask', 'click1.loss_mask', 'click2.loss_mask'}
    assert set(losses) == names
    without, frozen = set(), set()
    for name, parameter in together.named_parameters():
        if not parameter.requires_grad:
            frozen.add(name)
        elif parameter.grad is None or not parameter.grad.any():
            without.add(name)
    assert [n for n in without if not n.endswith(KEY_BIASES)] == []
    heads = tuple(f'decode_head.{part}' for part in UNUSED_PARTS)
    assert frozen and all(n.startswith(heads) for n in frozen)


def test_every_parameter_takes_part_without_any_prompt(together):
    """DistributedDataParallel waits for all of them, in every step."""
    data = with_points(make_data(), labels=(-1, -1))
    losses = run(together, data, 'loss', training=True)
    sum(losses.values()).backward()
    assert [
        name
        for name, parameter in together.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ] == []


def test_no_prompts_are_what_training_has_as_none(together):
    together.eval()
    data, same = make_data(['red']), make_data(['red'])
    same['inputs'] = data['inputs']
    with torch.no_grad():
        without = run(together, data, 'tensor')
        padded = run(together, with_points(same, (-1, -1)), 'tensor')
    assert torch.equal(without, padded)


def test_items_of_a_batch_may_have_other_prompts_or_none(tiny_segmentor):
    model = MODELS.build(tiny_segmentor).eval()
    torch.nn.init.normal_(model.decode_head.mask_decoder.mask_tokens.weight)
    torch.manual_seed(2)
    data = with_points(make_data(['red', None, 'blue']))
    del data['data_samples'][0].prompts
    mask = torch.randn(1, 16, 16)
    data['data_samples'][2].mask_input = PixelData(data=mask)
    with torch.no_grad():
        batch = model.data_preprocessor(data)
        together = model(**batch, mode='predict')
        for i, sample in enumerate(together):
            one = dict(
                inputs=data['inputs'][i : i + 1],
                data_samples=data['data_samples'][i : i + 1],
            )
            (alone,) = run(model, one, 'predict')
            torch.testing.assert_close(
                sample.pred_masks.low_res_masks,
                alone.pred_masks.low_res_masks,
            )


def test_a_previous_mask_of_another_size_is_rejected(tiny_segmentor):
    model = MODELS.build(tiny_segmentor).eval()
    data = make_data(['red'])
    mask = torch.zeros(1, 32, 32)
    data['data_samples'][0].mask_input = PixelData(data=mask)
    with pytest.raises(ValueError, match=r'\(1, 16, 16\), got \(1, 32, 32\)'):
        run(model, data, 'tensor')


@pytest.mark.parametrize(
    ('clicks', 'match'), [(-1, '0 or more'), (1, 'train_points=True')]
)
def test_clicks_need_a_head_that_learns_them(tiny_segmentor, clicks, match):
    tiny_segmentor['refinement_clicks'] = clicks
    with pytest.raises(ValueError, match=match):
        MODELS.build(tiny_segmentor)


def test_the_former_key_still_counts_clicks(tiny_segmentor):
    tiny_segmentor['corrections'] = 0
    with pytest.warns(FutureWarning, match="called 'refinement_clicks' now"):
        assert MODELS.build(tiny_segmentor).refinement_clicks == 0


INJECTORS_OF_IMAGES = [
    None,
    dict(type='mmdit.LayerwiseProjection'),
    dict(type='mmdit.EndToEndProjection', first_block=2),
]


def count_images(module):
    """Return a list that will hold the images of each call of a module."""
    counts = []
    module.register_forward_pre_hook(lambda _, x: counts.append(len(x[0])))
    return counts


@pytest.mark.parametrize('injector', INJECTORS_OF_IMAGES)
def test_what_expressions_of_an_image_share_is_computed_once(
    tiny_segmentor, injector
):
    tiny_segmentor['backbone']['text_injector'] = injector
    torch.manual_seed(0)
    model = MODELS.build(tiny_segmentor).eval()
    first, *_, last = model.backbone.blocks
    shared = [count_images(model.backbone.patch_embed)]
    if injector is None or 'first_block' in injector:
        shared.append(count_images(first))
    if injector is None:
        shared.append(count_images(last))

    def predict(data):
        with torch.no_grad():
            return [s.seg_logits.data for s in model.test_step(data)]

    expressions = ['red circle', 'blue square', 'big', 'small']
    image = make_data(expressions, training=False)['inputs'][0]
    for order, distinct in (((0, 0, 0, 0), 1), ((0, 0, 1, 0), 3)):
        data = make_data(expressions, training=False)
        other = data['inputs'][0]
        data['inputs'] = [(image, other)[i] for i in order]
        alone = [
            predict(dict(inputs=[i], data_samples=[s.clone()]))[0]
            for i, s in zip(*data.values(), strict=True)
        ]
        for counts in shared:
            counts.clear()
        together = predict(data)
        for got, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)
        assert shared == [[distinct]] * len(shared)


@pytest.mark.parametrize('injector', INJECTORS_OF_IMAGES[::2])
def test_what_is_kept_of_an_image_changes_no_bit(tiny_segmentor, injector):
    tiny_segmentor['backbone']['text_injector'] = injector
    model = MODELS.build(tiny_segmentor).eval()
    encoded = count_images(model.backbone.blocks[0])
    image = make_data()['inputs'][0]

    def predict(*expressions):
        data = make_data(expressions, training=False)
        data['inputs'] = [image] * len(expressions)
        with torch.no_grad():
            samples = model.test_step(data)
        return torch.cat([s.pred_masks.low_res_masks for s in samples])

    queries = [('red',), ('blue', 'the big one'), ('red',)]
    expected = [predict(*query) for query in queries]
    assert encoded == [1, 1, 1]
    model.features.max_bytes = 1 << 20
    for query, masks in zip(queries, expected, strict=True):
        assert torch.equal(predict(*query), masks)
    assert encoded == [1] * 4
    # Other weights make other features.
    model.load_state_dict(model.state_dict())
    predict('red')
    model.train().eval()
    predict('red')
    assert encoded == [1] * 6
    # Also where the segmentor is not told.
    model.backbone.load_state_dict(model.backbone.state_dict())
    predict('red')
    with torch.no_grad():
        model.backbone.pos_embed.mul_(2)
    masks = predict('red')
    assert encoded == [1] * 8 and not torch.equal(masks, expected[0])
    assert torch.equal(predict('red'), masks) and encoded == [1] * 8


def test_late_text_trains_with_one_trunk_per_image(tiny_segmentor):
    """The same losses and gradients as with an image for each expression."""
    tiny_segmentor['backbone']['text_injector'] = dict(
        type='mmdit.LayerwiseProjection', first_block=2, zero_init=False
    )
    torch.manual_seed(0)
    model = MODELS.build(tiny_segmentor).train()
    model.backbone.text_injector.eval()  # no dropout
    encoded = count_images(model.backbone.blocks[0])
    data = make_data(['red circle', 'blue square', 'big'])
    data['inputs'][1:] = [data['inputs'][0], data['inputs'][2]]
    data['data_samples'][1].set_metainfo(
        dict(img_shape=data['data_samples'][0].img_shape)
    )
    data['data_samples'][1].gt_sem_seg = data['data_samples'][0].gt_sem_seg
    batch = model.data_preprocessor(data, True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    together = model(**batch, mode='loss')['loss_mask']
    assert encoded == [2]
    alone = [
        model(batch['inputs'][i, None], [sample], mode='loss')['loss_mask']
        for i, sample in enumerate(batch['data_samples'])
    ]
    expected = torch.stack(alone).mean()
    torch.testing.assert_close(together, expected)
    for one, other in zip(
        *(torch.autograd.grad(x, parameters) for x in (together, expected)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
