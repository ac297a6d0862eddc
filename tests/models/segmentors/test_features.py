"""Features of images that are queried again."""

import torch

from mmdit.models.segmentors.features import FeatureCache


def test_the_last_images_are_encoded_once():
    encoded = []

    def encode(image):
        encoded.append(image)
        return (image + 1,)

    cache = FeatureCache(2)
    a, b, c = (torch.full((1, 3, 4, 4), float(i)) for i in range(3))
    for image, number in ((a, 1), (b, 2), (a.clone(), 2), (c, 3), (a, 3)):
        (found,) = cache.get(image, encode)
        assert torch.equal(found, image + 1) and len(encoded) == number
    # The longest unused went; another shape is another image.
    cache.get(b, encode)
    cache.get(b.reshape(1, 3, 2, 8), encode)
    assert len(encoded) == 5
    nothing = FeatureCache()
    nothing.get(a, encode)
    nothing.get(a, encode)
    assert len(encoded) == 7
