import base64
import io
import tarfile

import numpy as np
import pytest
from PIL import Image
from report_rows import make_rows, write_json

from mmdit.runtime.drawing import (
    PREDICTION_COLOR,
    TRUTH_COLOR,
    draw_comparison,
    overlay_name,
)
from mmdit.visualization.report import (
    choose_cases,
    embed_images,
    embed_overlays,
    read_results,
)


@pytest.fixture
def results(tmp_path):
    rows = make_rows(6)
    rows[1]['expression'] = 'an expression that is long enough to wrap ' * 3
    return read_results(write_json(tmp_path / 'rows.json', rows))


def draw_overlays(folder, results, level):
    """Draw as mmdit test --show-dir does; images are of one level."""
    folder.mkdir()
    for row, expression in enumerate(results.expressions):
        image = np.full((60, 90, 3), level, np.uint8)
        ground_truth = np.zeros((60, 90), bool)
        ground_truth[10:30, 10:40] = True
        picture = draw_comparison(
            image, expression, ground_truth, ~ground_truth
        )
        name = overlay_name(
            results.img_paths[row], results.items[row]['sent_id']
        )
        Image.fromarray(picture).save(folder / name)
    return folder


def is_tinted(pixel, level, color):
    return abs(pixel - (level + np.array(color)) / 2).max() < 20


def decode(uri):
    kind, content = uri.split(',')
    assert kind == 'data:image/webp;base64'
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_worst_median_and_best_are_chosen():
    scores = np.random.default_rng(0).permutation(101)
    chosen = sorted(scores[choose_cases(scores, 9)].tolist())
    assert chosen == [0, 1, 2, 49, 50, 51, 98, 99, 100]


@pytest.mark.parametrize('number', range(0, 12))
def test_as_many_as_wanted_and_none_twice(number):
    chosen = choose_cases(np.arange(10), number)
    assert len(chosen) == len(set(chosen)) == min(number, 10)
    assert chosen == sorted(chosen)


def test_equal_scores_are_chosen_all_over():
    chosen = choose_cases(np.zeros(1000), 30)
    assert chosen == choose_cases(np.zeros(1000), 30)
    assert np.histogram(chosen, [0, 250, 500, 750, 1001])[0].min() > 1


def test_words_are_cut_off_overlays(results, tmp_path):
    folder = draw_overlays(tmp_path / 'thumbnails', results, level=120)
    uris = embed_overlays(results, [0, 1], [folder])
    assert list(uris) == [0, 1]
    for uri in uris.values():
        picture = np.asarray(decode(uri).convert('RGB')).astype(int)
        # three panels of 256 pixels, enlarged from 90, and the two gaps
        assert picture.shape[1] == 3 * 256 + 2 * 8
        assert abs(picture[:, 5:250] - 120).max() < 12  # no ink, no paper
        distance = abs(picture[:, 264:520] - TRUTH_COLOR).max(axis=2)
        assert (distance < 60).sum() > 100


def test_the_other_model_adds_its_panel(results, tmp_path):
    folders = [
        draw_overlays(tmp_path / f'of{level}', results, level)
        for level in (80, 200)
    ]
    uris = embed_overlays(results, [0], folders)
    picture = np.asarray(decode(uris[0]).convert('RGB')).astype(int)
    width = picture.shape[1]
    assert width == 900
    # The prediction is everything but ground truth: its corner is tinted.
    for place, level in ((0.70, 80), (0.98, 200)):
        pixel = picture[-8, int(place * width)]
        assert is_tinted(pixel, level, PREDICTION_COLOR)


def test_images_alone(results, tmp_path):
    (tmp_path / 'images').mkdir()
    for path in results.img_paths:
        Image.new('RGB', (1000, 500), 'teal').save(tmp_path / path)
    uris = embed_images(results, [2], tmp_path)
    assert decode(uris[2]).size == (450, 225)


def test_an_image_may_lie_in_a_tar_shard(results, tmp_path):
    results.img_paths[2] = '0.tar/2.png'
    Image.new('RGB', (900, 450), 'teal').save(tmp_path / '2.png')
    with tarfile.open(tmp_path / '0.tar', 'w') as tar:
        tar.add(tmp_path / '2.png', '2.png')
    assert decode(embed_images(results, [2], tmp_path)[2]).size == (450, 225)


def test_a_missing_picture_is_named(results, tmp_path):
    with pytest.raises(FileNotFoundError, match='0_sent30.png .*--overlays'):
        embed_overlays(results, [0], [tmp_path])
    with pytest.raises(FileNotFoundError, match='images/0.jpg .*--images'):
        embed_images(results, [0], tmp_path)


def test_other_images_are_rejected(results, tmp_path):
    Image.new('RGB', (300, 100), 'teal').save(tmp_path / '0_sent30.png')
    with pytest.raises(ValueError, match='300 x 100 .*--show-dir'):
        embed_overlays(results, [0], [tmp_path])
    (tmp_path / '0_sent30.png').write_text('no picture')
    with pytest.raises(ValueError, match='is not an image'):
        embed_overlays(results, [0], [tmp_path])
