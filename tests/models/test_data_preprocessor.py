import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmdit.models.data_preprocessor import ReferDataPreprocessor
from mmdit.registry import MODELS

MEAN, STD = (120.0, 110.0, 100.0), (50.0, 60.0, 70.0)


def make(size=(12, 16), **kwargs):
    kwargs = dict(mean=MEAN, std=STD, **kwargs)
    return ReferDataPreprocessor(size=size, **kwargs)


def batch(*shapes, mask_shapes=None):
    torch.manual_seed(0)
    images, samples = [], []
    for shape, mask_shape in zip(shapes, mask_shapes or shapes, strict=True):
        images.append(torch.randint(256, (3, *shape), dtype=torch.uint8))
        sample = BaseDataElement(metainfo=dict(img_path='a.jpg'))
        mask = torch.ones(1, *mask_shape, dtype=torch.uint8)
        sample.gt_sem_seg = PixelData(data=mask)
        samples.append(sample)
    return dict(inputs=images, data_samples=samples)


def normalized(image):
    """Normalize a BGR image pixel by pixel into RGB."""
    rgb = image[[2, 1, 0]].double()
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    return ((rgb - mean) / std).float()


def test_images_are_normalized_and_centred_in_exact_zeros():
    data = batch((5, 16), (12, 7), (12, 16))
    out = make()(data)['inputs']
    expected = torch.zeros(3, 3, 12, 16)
    expected[0, :, 3:8] = normalized(data['inputs'][0])
    expected[1, :, :, 4:11] = normalized(data['inputs'][1])
    expected[2] = normalized(data['inputs'][2])
    torch.testing.assert_close(out, expected)
    assert out.dtype == torch.float32
    assert (out[0, :, :3] == 0).all()
    assert (out[0, :, 8:] == 0).all()


def test_samples_learn_the_padding():
    samples = make()(batch((5, 16), (12, 7)))['data_samples']
    assert samples[0].padding_size == (0, 0, 3, 4)
    assert samples[1].padding_size == (4, 5, 0, 0)
    for sample in samples:
        assert sample.pad_shape == sample.batch_input_shape == (12, 16)


def test_the_mask_is_padded_in_training():
    data = make()(batch((5, 16), (12, 7)), training=True)
    first, second = (s.gt_sem_seg.data for s in data['data_samples'])
    expected = torch.zeros(1, 12, 16, dtype=torch.uint8)
    expected[:, 3:8] = 1
    assert torch.equal(first, expected)
    expected = torch.zeros(1, 12, 16, dtype=torch.uint8)
    expected[..., 4:11] = 1
    assert torch.equal(second, expected)


def test_the_mask_keeps_its_size_in_testing():
    data = make()(batch((5, 16), mask_shapes=[(50, 160)]))
    assert data['data_samples'][0].gt_sem_seg.shape == (50, 160)


def test_a_mask_of_another_size_is_rejected_in_training():
    data = batch((5, 16), mask_shapes=[(50, 160)])
    with pytest.raises(ValueError, match='a.jpg.*must come before Resize'):
        make()(data, training=True)


def test_an_image_that_is_too_large_names_file_and_key():
    message = 'a.jpg arrives as 13x16 .* size 12x16: set scale of Resize'
    with pytest.raises(ValueError, match=message):
        make()(batch((13, 16)))


def test_the_callers_data_stay_as_they_are():
    data = batch((5, 16))
    make()(data, training=True)
    assert data['data_samples'][0].gt_sem_seg.shape == (5, 16)
    assert 'padding_size' not in data['data_samples'][0]
    assert data['inputs'][0].dtype == torch.uint8


def test_a_stacked_batch_gives_the_same():
    data = batch((5, 16), (5, 16))
    expected = make()(data)['inputs']
    stacked = dict(data, inputs=torch.stack(data['inputs']))
    assert torch.equal(make()(stacked)['inputs'], expected)


def test_images_without_samples():
    data = dict(inputs=batch((5, 16))['inputs'])
    out = make()(data)
    assert out['data_samples'] is None
    assert out['inputs'].shape == (1, 3, 12, 16)


def test_channels_and_levels_can_be_left_alone():
    data = batch((12, 16))
    plain = ReferDataPreprocessor(size=(12, 16), bgr_to_rgb=False)
    out = plain(data)['inputs']
    assert torch.equal(out[0], data['inputs'][0].float())


def test_it_is_registered_at_512():
    built = MODELS.build(dict(type='mmdit.ReferDataPreprocessor'))
    assert built(batch((4, 4)))['inputs'].shape[-2:] == (512, 512)


def test_mmseg_takes_the_padding_off_again():
    from mmseg.models.segmentors.base import BaseSegmentor

    class Segmentor(BaseSegmentor):
        align_corners = False
        decode_head = type('Head', (), dict(threshold=0.5))

        def encode_decode(self, inputs, batch_data_samples):
            return inputs

        extract_feat = loss = predict = _forward = encode_decode

    data = make()(batch((5, 16), mask_shapes=[(10, 32)]))
    [sample] = data['data_samples']
    sample.set_metainfo(dict(ori_shape=(10, 32)))
    # positive on the image, negative on the padding
    logits = torch.full((1, 1, 12, 16), -9.0)
    logits[..., 3:8, :] = 9
    [result] = Segmentor().postprocess_result(logits, [sample])
    assert result.pred_sem_seg.data.shape == (1, 10, 32)
    assert result.pred_sem_seg.data.all()


def test_padding_may_lie_right_and_below():
    data = batch((5, 16), (12, 7))
    out = make(pad_center=False)(data, training=True)
    expected = torch.zeros(3, 12, 16)
    expected[:, :5] = normalized(data['inputs'][0])
    torch.testing.assert_close(out['inputs'][0], expected)
    samples = out['data_samples']
    assert samples[0].padding_size == (0, 0, 0, 7)
    assert samples[1].padding_size == (0, 9, 0, 0)
    assert samples[1].gt_sem_seg.data[0, :, :7].all()


def test_the_former_key_still_pads():
    with pytest.warns(FutureWarning, match="called 'pad_center' now"):
        assert not make(centred=False).pad_center
