"""What comes back for an expression, and the files that hold it.

Plain NumPy: any runtime that computes probabilities can answer alike.
"""

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

SLUG_LENGTH = 48
# Of no use in a text file.
_ARRAYS = ('mask', 'probabilities', 'logits', 'low_res_logits')


def make_prediction(
    image: str | int,
    expression: str | None,
    probabilities: np.ndarray,
    threshold: float,
) -> dict:
    """Turn probabilities into the answer to an expression.

    Args:
        image: Path of the image, or its place in the list of images.
        expression: What was asked, None without words.
        probabilities: (H, W) float32, at the size of the image.
        threshold: A pixel belongs to the mask if it exceeds this.

    Returns:
        ``image`` and ``expression``;
        ``mask``, (H, W) bool;
        ``rle``, the same as COCO's compressed RLE;
        ``box``, the first column and row and the last column and row of the
        mask, or None if it is empty;
        ``score``, the mean probability of the mask's pixels, 0 if it is empty.
    """
    mask = probabilities > threshold
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return dict(
        image=image,
        expression=expression,
        mask=mask,
        rle=dict(size=list(rle['size']), counts=rle['counts'].decode()),
        box=_find_box(mask),
        score=_score(mask, probabilities),
    )


def check_threshold(threshold: float) -> float:
    """Return a threshold that probabilities can exceed."""
    if not 0 <= threshold < 1:
        raise ValueError(
            f'threshold must be a probability from 0 to below 1, got '
            f'{threshold}'
        )
    return threshold


def _score(mask: np.ndarray, probabilities: np.ndarray) -> float:
    return float(probabilities[mask].mean(dtype=float)) if mask.any() else 0.0


def _find_box(mask: np.ndarray) -> list[int] | None:
    """Return (left, top, right, bottom) of a mask, all within it."""
    columns, rows = mask.any(0).nonzero()[0], mask.any(1).nonzero()[0]
    if not len(columns):
        return None
    return [int(i) for i in (columns[0], rows[0], columns[-1], rows[-1])]


class ResultWriter:
    """Write answers into a folder, each to files of its own.

    ``overlays/NAME.png`` shows an answer, ``masks/NAME.png`` is its mask (0
    and 255, at the size of the image), and ``predictions.json`` lists all
    answers with their files, one a line. NAME is made of the
    image's name and the expression, and is never used twice by one writer;
    files of an earlier one are replaced.

    Args:
        out_dir: The folder; made where it does not exist.
    """

    def __init__(self, out_dir: str | Path) -> None:
        self.out_dir = Path(out_dir)
        self._rows: list[dict] = []
        self._names: set[str] = set()
        for name in ('overlays', 'masks'):
            (self.out_dir / name).mkdir(parents=True, exist_ok=True)

    def write(self, prediction: dict, overlay: np.ndarray) -> None:
        """Write a prediction and its (H', W', 3) RGB overlay."""
        name = self._make_name(prediction)
        files = dict(overlay=f'overlays/{name}', mask=f'masks/{name}')
        mask = prediction['mask'].astype(np.uint8) * 255
        for kind, pixels in dict(overlay=overlay, mask=mask).items():
            Image.fromarray(pixels).save(self.out_dir / files[kind])
        row = {k: v for k, v in prediction.items() if k not in _ARRAYS}
        self._rows.append(row | files)

    def close(self) -> Path:
        """Write ``predictions.json`` and return its path."""
        path = self.out_dir / 'predictions.json'
        lines = [json.dumps(row, ensure_ascii=False) for row in self._rows]
        path.write_text('[\n' + ',\n'.join(lines) + '\n]\n', 'utf-8')
        return path

    def _make_name(self, prediction: dict) -> str:
        image = prediction['image']
        stem = f'image{image}' if isinstance(image, int) else Path(image).stem
        slugs = [
            re.sub(r'\W+', '-', text).strip('-')[:SLUG_LENGTH]
            for text in (stem, prediction['expression'] or 'prompts')
        ]
        name = plain = '_'.join(slugs)
        number = 1
        # Some file systems do not tell upper from lower case.
        while name.lower() in self._names:
            number += 1
            name = f'{plain}_{number}'
        self._names.add(name.lower())
        return f'{name}.png'
