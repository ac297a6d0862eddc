"""Decoding of images."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmdit import decoding


@given(
    st.lists(
        st.sampled_from([b'\xff\xd9', b'\xff\xda', b'\xff', b'\xda', b'.'])
    )
)
def test_a_jpeg_is_cut_if_nothing_ends_its_last_scan(parts):
    content = b'\xff\xd8' + b''.join(parts)
    ends, scans = content.rfind(b'\xff\xd9'), content.rfind(b'\xff\xda')
    assert decoding._is_cut_jpeg(content) == (ends < scans)
    assert not decoding._is_cut_jpeg(content[1:])


def test_a_cut_jpeg_is_rejected_by_decoders_that_paint_the_rest_gray(
    monkeypatch,
):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    # as OpenCV 4 does
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pixels)
    file = BytesIO()
    Image.fromarray(pixels).save(file, 'jpeg', progressive=True)
    content = file.getvalue()
    assert decoding.decode_image(content, 'color') is pixels
    assert decoding.decode_image(content[:-2], 'color') is None


@pytest.mark.parametrize('kind', [b'IDAT', b'tEXt', b'acTL'])
def test_a_png_gets_no_memory_for_what_it_does_not_hold(monkeypatch, kind):
    file = BytesIO()
    Image.new('L', (20, 12)).save(file, 'png')
    content = file.getvalue()
    assert decoding.decode_image(content, 'color').shape == (12, 20, 3)
    claim = (1 << 30).to_bytes(4, 'big') + kind
    forged = content[:33] + claim + content[41:]
    monkeypatch.setattr(cv2, 'imdecode', None)  # would reserve a gigabyte
    assert decoding.decode_image(forged, 'color') is None
