"""``mmdit browse-data CONFIG``: show a data set after its transforms.

Each item is drawn as the model receives it, with its expression, and its
sampled points where the pipeline has some. The overlays, and a sheet of all of
them, go into a folder; windows open with ``--show`` only.
"""

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.runner import set_random_seed
from mmengine.structures import InstanceData
from mmengine.utils import track_iter_progress
from PIL import Image

from mmdit.datasets.transforms.sample_prompts import (
    BOTTOM_RIGHT,
    INSIDE,
    OUTSIDE,
    TOP_LEFT,
)
from mmdit.engine.command_line import add_cfg_options, open_config
from mmdit.registry import DATASETS
from mmdit.runtime.drawing import draw_comparison, overlay_name

GREEN, RED = (46, 160, 67), (214, 40, 40)
SHEET_WIDTH = 1600


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Show a data set after its transforms.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('config', help='path or name of a config')
    parser.add_argument(
        '--mode',
        choices=['train', 'val', 'test'],
        default='train',
        help='whose data set and transforms',
    )
    parser.add_argument(
        '--out-dir', type=Path, default=Path('work_dirs/browse_dataset')
    )
    parser.add_argument(
        '--number', type=int, default=16, help='how many items, at random'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the choice and the transforms'
    )
    parser.add_argument(
        '--show', action='store_true', help='show each overlay in a window'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.number < 1:
        parser.error(f'--number must be 1 or more, got {args.number}')
    return args


def draw_item(item: dict) -> np.ndarray:
    """Draw an item, image and ground truth: (H, W, 3) uint8, RGB.

    Args:
        item: ``inputs`` (3, h, w) uint8, BGR, and ``data_samples``.
    """
    sample = item['data_samples']
    image = item['inputs'].numpy()[::-1].transpose(1, 2, 0).copy()
    height, width = image.shape[:2]
    # Where ground truth is kept at its original size, it is resized.
    gt = cv2.resize(
        sample.gt_sem_seg.data[0].numpy(),
        (width, height),
        interpolation=cv2.INTER_NEAREST,
    )
    if 'prompts' in sample:
        draw_prompts(image, sample.prompts)
    # Some items have points alone.
    words = sample.expression or '(no expression)'
    return draw_comparison(image, words, gt.astype(bool))


def draw_prompts(image: np.ndarray, prompts: InstanceData) -> None:
    """Draw points (green inside, red outside) and a box, into the image."""
    points = prompts.points.round().int().tolist()
    by_label: dict[int, list] = {}
    for point, label in zip(points, prompts.labels.tolist(), strict=True):
        by_label.setdefault(label, []).append(point)
    radius = max(1, max(image.shape) // 100)
    for label, color in ((INSIDE, GREEN), (OUTSIDE, RED)):
        for point in by_label.get(label, ()):
            cv2.circle(image, point, radius + 1, (255, 255, 255), -1)
            cv2.circle(image, point, radius, color, -1)
    if TOP_LEFT in by_label:
        corners = by_label[TOP_LEFT][0], by_label[BOTTOM_RIGHT][0]
        cv2.rectangle(image, *corners, GREEN, max(1, radius // 2))


def make_sheet(overlays: list[np.ndarray], width: int) -> Image.Image:
    """Arrange overlays of any size in columns, each where it is shortest."""
    columns = min(4, math.ceil(math.sqrt(len(overlays))))
    wide = width // columns
    heights, places = [0] * columns, []
    for overlay in overlays:
        image = Image.fromarray(overlay)
        image.thumbnail((wide, 10 * wide))
        column = heights.index(min(heights))
        places.append((image, (column * wide, heights[column])))
        heights[column] += image.height
    sheet = Image.new('RGB', (wide * columns, max(heights)), 'white')
    for image, place in places:
        sheet.paste(image, place)
    return sheet


def build_dataset(args: argparse.Namespace) -> BaseDataset:
    """Build the data set of a config."""
    cfg = open_config(args.config, args.cfg_options)
    return DATASETS.build(cfg[f'{args.mode}_dataloader'].dataset)


def main() -> None:
    """Draw the items, and write overlays and sheet."""
    args = parse_args()
    dataset = build_dataset(args)
    set_random_seed(args.seed)
    number = min(args.number, len(dataset))
    chosen = np.random.default_rng(args.seed).choice(
        len(dataset), number, replace=False
    )
    args.out_dir.mkdir(parents=True, exist_ok=True)
    overlays = []
    for index in track_iter_progress(sorted(chosen.tolist())):
        item = dataset[index]
        sample = item['data_samples']
        overlay = draw_item(item)
        name = overlay_name(sample.img_path, sample.sent_id)
        Image.fromarray(overlay).save(args.out_dir / f'{index}_{name}')
        overlays.append(overlay)
        if args.show:
            cv2.imshow(sample.expression, overlay[..., ::-1])
            cv2.waitKey()
            cv2.destroyAllWindows()
    sheet = args.out_dir / 'sheet.png'
    make_sheet(overlays, SHEET_WIDTH).save(sheet)
    print(f'{number} of {len(dataset)} items: {sheet}')
