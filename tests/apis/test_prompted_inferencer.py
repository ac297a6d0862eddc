"""Points, boxes and masks beside an expression, or instead of it."""

import numpy as np
import pytest
from PIL import Image

from mmdit.apis import ReferringSegInferencer, read_image

CLICK = dict(point_coords=[(45, 12)], point_labels=[1])
OUTSIDE = CLICK | dict(point_labels=[0])
FAR = CLICK | dict(point_coords=[(60.5, 3)])
SMALL = np.zeros((1, 9, 9))


@pytest.fixture
def inferencer(config, weights):
    return ReferringSegInferencer(
        config, weights, device='cpu', show_progress=False
    )


def predict(inferencer, *args, **kwargs):
    return inferencer(*args, **kwargs, return_logits=True)['predictions']


def test_a_click_corrects_what_the_words_found(inferencer, picture):
    (first,) = predict(inferencer, picture, 'the red circle')
    assert first['low_res_masks'].shape == (1, 16, 16)
    (second,) = predict(
        inferencer,
        picture,
        'the red circle',
        **CLICK,
        mask_input=first['low_res_masks'],
    )
    (no_mask,) = predict(inferencer, picture, 'the red circle', **CLICK)
    (outside,) = predict(
        inferencer,
        picture,
        'the red circle',
        point_coords=[(45, 12)],
        point_labels=[0],
    )
    (no_words,) = predict(inferencer, picture, **CLICK)
    assert no_words['expression'] is None
    predictions = [first, second, no_mask, outside, no_words]
    for i, one in enumerate(predictions):
        assert one['mask'].shape == (40, 60)
        for other in predictions[:i]:
            assert not np.allclose(one['logits'], other['logits'])


def test_each_question_has_its_prompts(inferencer, picture):
    images, expressions = [picture, picture], [['red', None], ['blue']]
    given = [{}, CLICK | dict(box=(3, 4, 50, 30)), CLICK]
    names = ('point_coords', 'point_labels', 'box')
    together = predict(
        inferencer,
        images,
        expressions,
        **{name: [prompts.get(name) for prompts in given] for name in names},
    )
    words = ['red', None, 'blue']
    for row, word, prompts in zip(together, words, given, strict=True):
        (alone,) = predict(inferencer, picture, word, **prompts)
        assert row['expression'] == word
        np.testing.assert_allclose(
            row['logits'], alone['logits'], rtol=1e-4, atol=1e-5
        )


def test_points_are_those_of_the_image_as_people_see_it(
    inferencer, picture, tmp_path
):
    upright = Image.fromarray(read_image(picture)[..., ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / 'turned.png', exif=exif
    )
    (seen,) = predict(inferencer, picture, 'red', **CLICK)
    (turned,) = predict(inferencer, tmp_path / 'turned.png', 'red', **CLICK)
    assert turned['mask'].shape == (40, 60)
    assert np.array_equal(turned['logits'], seen['logits'])


def test_files_of_a_question_without_words(inferencer, picture, tmp_path):
    inferencer(picture, **CLICK, out_dir=tmp_path / 'out')
    assert (tmp_path / 'out/masks/picture_prompts.png').is_file()
    assert 'predicted_iou' in (tmp_path / 'out/predictions.json').read_text()


@pytest.mark.parametrize(
    ('arguments', 'match'),
    [
        (dict(), 'neither an expression nor points'),
        (
            dict(point_coords=[(60.5, 3)], point_labels=[1]),
            '60 pixels wide and 40 high',
        ),
        (dict(point_coords=[(1, 2)]), 'no point_labels'),
        (dict(expressions=['a', 'b']) | CLICK, '1 of 2 queries'),
        (
            dict(expressions='a', mask_input=SMALL),
            r'\(1, 16, 16\)',
        ),
    ],
)
def test_bad_prompts_are_explained(inferencer, picture, arguments, match):
    with pytest.raises(ValueError, match=match):
        inferencer(picture, **arguments)


def test_words_need_a_model_that_reads_them(
    config, picture, tmp_path, weights
):
    inferencer = ReferringSegInferencer(config, weights, 'cpu')
    inferencer.model.text_encoder = None
    with pytest.raises(ValueError, match='reads no text'):
        inferencer(picture, 'red')
