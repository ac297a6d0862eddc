"""Features of images that are queried again."""

import sys
import threading

import pytest
import torch

from mmdit.models.segmentors.features import FeatureCache

# Of one image.
BYTES = 3 * 4 * 4 * 4


@pytest.fixture
def encode():
    def encode(image):
        encode.calls += 1
        return (image + 1,)

    encode.calls = 0
    return encode


@torch.no_grad()
def test_the_last_images_are_encoded_once(encode):
    cache = FeatureCache(2 * BYTES)
    a, b, c = (torch.full((1, 3, 4, 4), float(i)) for i in range(3))
    for image, number in ((a, 1), (b, 2), (a.clone(), 2), (c, 3), (a, 3)):
        (found,) = cache.encode(image, encode)
        assert torch.equal(found, image + 1) and encode.calls == number
        assert cache.num_bytes <= 2 * BYTES
    # The longest unused went; another shape or type is another image.
    cache.encode(b, encode)
    cache.encode(b.reshape(1, 3, 2, 8), encode)
    cache.encode(b.bfloat16(), encode)
    assert encode.calls == 6
    cache.clear()
    assert cache.num_bytes == 0


@torch.no_grad()
@pytest.mark.parametrize(
    ('max_bytes', 'images'), [(0, 1), (BYTES - 1, 1), (9 * BYTES, 2)]
)
def test_what_is_not_kept(encode, max_bytes, images):
    cache = FeatureCache(max_bytes)
    batch = torch.ones(images, 3, 4, 4)
    for number in (1, 2):
        (found,) = cache.encode(batch, encode)
        assert torch.equal(found, batch + 1) and encode.calls == number
        assert cache.num_bytes == 0


def test_features_with_gradients_are_not_kept(encode):
    cache = FeatureCache(BYTES)
    cache.encode(torch.ones(1, 3, 4, 4), encode)
    assert cache.num_bytes == 0


@torch.no_grad()
def test_less_memory_keeps_less(encode):
    cache = FeatureCache(2 * BYTES)
    for i in range(2):
        cache.encode(torch.full((1, 3, 4, 4), float(i)), encode)
    cache.max_bytes = BYTES
    assert cache.num_bytes == BYTES
    for wrong in (-1, float('nan'), '64'):
        with pytest.raises(ValueError, match=f'0 or more, got {wrong!r}'):
            cache.max_bytes = wrong


def test_several_threads_may_share_one():
    cache, errors = FeatureCache(2 * BYTES), []
    images = [torch.full((1, 3, 4, 4), float(i)) for i in range(5)]

    @torch.no_grad()
    def work():
        try:
            for i in range(400):
                (found,) = cache.encode(images[i % 5], lambda x: (x + 1,))
                assert torch.equal(found, images[i % 5] + 1)
        except Exception as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not errors and cache.num_bytes <= 2 * BYTES
