"""Measure what kept features save: ``kept_features.py WEIGHTS``.

A click on an image that was queried before, with the features of its
image kept and without, in CPU seconds. Random weights take as long as any.
"""

import argparse
import statistics
import time

import numpy as np

from mmdit.apis import ReferringSegInferencer
from mmdit.caching import CACHE_BYTES


def measure(model: ReferringSegInferencer, kept: bool, clicks: int) -> float:
    """Return the median CPU seconds of a click after the first.

    Args:
        model: Takes points without words.
        kept: Whether it keeps features.
        clicks: How many to measure.
    """
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    model.model.features.max_bytes = CACHE_BYTES if kept else 0
    spent = []
    for number in range(clicks + 1):
        point = [[100 + 20 * number, 200]]
        begun = time.process_time()
        model(image, point_coords=point, point_labels=[1])
        spent.append(time.process_time() - begun)
    return statistics.median(spent[1:])


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', help='of SAM')
    parser.add_argument('--clicks', type=int, default=3)
    args = parser.parse_args()
    model = ReferringSegInferencer(
        weights=args.weights, device='cpu', show_progress=False
    )
    without = measure(model, False, args.clicks)
    kept = measure(model, True, args.clicks)
    print(f'without {without:.2f} CPU s, kept {kept:.3f} CPU s a click')
    print(f'{without / kept:.0f} times as much without')


if __name__ == '__main__':
    main()
