import numpy as np
import pytest
from PIL import Image

from mmdit.runtime.drawing import (
    GAP,
    PREDICTION_COLOR,
    TRUTH_COLOR,
    draw_comparison,
)


@pytest.fixture
def scene():
    """A gray image with half of it true and a quarter predicted."""
    image = np.full((300, 400, 3), 128, np.uint8)
    ground_truth = np.zeros((300, 400), bool)
    ground_truth[:, :200] = True
    prediction = ground_truth.copy()
    prediction[150:] = False
    return image, ground_truth, prediction


def panel_of(picture, number, width=400, height=300):
    """Cut a panel out of a picture by its place in the row."""
    gray = (picture[:, GAP + width - 1] == 128).all(axis=1)
    top, left = int(np.argmax(gray)), GAP + number * (width + GAP)
    return picture[top : top + height, left : left + width]


def tinted(color):
    return (np.array([128] * 3) * 0.5 + np.array(color) * 0.5).astype(int)


def test_three_panels_show_image_truth_and_prediction(scene):
    image, ground_truth, prediction = scene
    picture = draw_comparison(image, 'the left half', ground_truth, prediction)
    assert picture.shape[1] == 3 * 400 + 4 * GAP
    plain = panel_of(picture, 0)
    assert (plain == 128).all()
    true, predicted = panel_of(picture, 1), panel_of(picture, 2)
    # Ground truth is an outline, which hides nothing of what it surrounds.
    assert (true[40:110, 40:160] == 128).all()
    assert (true == TRUTH_COLOR).all(axis=2).sum() > 300
    inside = predicted[40:110, 40:160]
    assert abs(inside.astype(int) - tinted(PREDICTION_COLOR)).max() <= 1
    for panel in (true, predicted):
        assert (panel[160:, 210:] == 128).all()


def test_panels_without_a_mask_are_left_out(scene):
    image, ground_truth, _ = scene
    assert draw_comparison(image, 'x').shape[1] == 400 + 2 * GAP
    assert (
        draw_comparison(image, 'x', ground_truth).shape[1] == 2 * 400 + 3 * GAP
    )


def test_small_images_are_enlarged_and_long_text_wraps():
    image = np.zeros((32, 64, 3), np.uint8)
    short = draw_comparison(image, 'dog')
    long = draw_comparison(image, 'the dog that sits on the left ' * 3)
    assert short.shape[1] == 256 + 2 * GAP == long.shape[1]
    assert long.shape[0] > short.shape[0]


def test_expressions_beyond_ascii_are_drawn():
    image = np.zeros((64, 64, 3), np.uint8)
    picture = draw_comparison(image, 'café “naïve” – x')
    assert Image.fromarray(picture).size[0] == 256 + 2 * GAP
