"""Loading of an item's image and mask."""

import logging
from collections import Counter
from functools import partial

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from mmengine.logging import print_log

from mmdit.decoding import decode_image
from mmdit.registry import TRANSFORMS
from mmdit.shards import read_bytes

from ..reading.images import TURNED, near_path, read_orientation, turn
from ..reading.segmentations import FLAWS, draw_with_flaws

_ID_KEYS = ('image_id', 'ref_id', 'ann_id', 'sent_id')
# Of each kind of flaw, how many items this process has met.
_met: Counter = Counter()


@TRANSFORMS.register_module()
class LoadReferImage(LoadImageFromFile):
    """Load ``img_path`` as a BGR image, as its pixels are stored.

    COCO's masks refer to the stored pixels, so the orientation in a camera's
    EXIF data is left alone, with a warning.

    The path may lead into a tar shard: ``shards/000007.tar/0042.jpg``.

    Args:
        backend_args: Where files live; as in mmcv's ``LoadImageFromFile``.
        turn_by_exif: Turn the image as viewers do, because the masks were
            drawn on the turned image. An item that says so itself, by the
            same key, is believed.
    """

    def __init__(
        self, *, backend_args: dict | None = None, turn_by_exif: bool = False
    ) -> None:
        super().__init__(
            color_type='color_ignore_orientation', backend_args=backend_args
        )
        self.turn_by_exif = turn_by_exif

    def transform(self, results: dict) -> dict:
        """Add ``img`` (H, W, 3) uint8, ``img_shape`` and ``ori_shape``.

        Also ``height`` and ``width`` of an item that comes without them.
        """
        path = results['img_path']
        shown = path if len(path) < 500 else f'{path[:500]}...'
        name = f'{shown} of {_ids(results)}'
        turn = results.get('turn_by_exif', self.turn_by_exif)
        image, turned = self.load(path, name, turn)
        if turned > 1:
            _warn('turned images', f'{name} {TURNED[turned]}')
        got = image.shape[:2]
        expected = results.get('height', got[0]), results.get('width', got[1])
        if got != expected:
            hint = (
                f'viewers turn it (EXIF orientation {turned}), and its '
                'masks were drawn so: set turn_by_exif=True of LoadReferImage'
                if turned > 4 and got[::-1] == expected
                else 'the masks fit the original images only, neither resized '
                'nor rotated: set data_prefix to their folder'
            )
            raise ValueError(
                f'{name} is {got[0]}x{got[1]} (height x width), its '
                f'annotation says {expected[0]}x{expected[1]}; {hint}'
            )
        results.update(img=image, img_shape=got, ori_shape=got)
        results.update(height=got[0], width=got[1])
        if turn:
            results['turn_by_exif'] = True
        return results

    def load(
        self, path: str, name: str, turn_by_exif: bool
    ) -> tuple[np.ndarray, int]:
        """Load an image, which messages call ``name``.

        Returns:
            The (H, W, 3) image, uint8, and how viewers would turn it: an EXIF
            orientation, 1 for not at all.
        """
        content = self._read(path, name)
        turned = read_orientation(content, name)
        image = decode_image(content, self.color_type)
        if image is None:
            raise ValueError(
                f'{name} is not a complete image ({len(content)} bytes); '
                'download it again'
            )
        return (turn(image, turned), 1) if turn_by_exif else (image, turned)

    def _read(self, path: str, name: str) -> bytes:
        """Return the bytes of a file."""
        try:
            read = partial(fileio.get, backend_args=self.backend_args)
            return read_bytes(path, read)
        except FileNotFoundError as error:
            near = near_path(path)
            advice = (
                f'there is {near}: correct the name'
                if near
                else 'set data_prefix of the data set to the folder of the '
                'images'
            )
            raise FileNotFoundError(
                f'image {name} does not exist; {advice}'
            ) from error
        # A folder, a name that is too long, a file that may not be read.
        except (OSError, ValueError) as error:
            raise ValueError(
                f'image {name} cannot be read ({error!s:.99}); expected the '
                'path of a file'
            ) from error


@TRANSFORMS.register_module()
class LoadReferMask(BaseTransform):
    """Draw ``segmentation`` as the 0/1 mask ``gt_seg_map``.

    A segmentation is a list of COCO polygons, which all belong to the one
    mask, a COCO RLE, or the path of a PNG of the image's size, in which 0 is
    background and all else the referent. In a training pipeline the transform
    stands before ``Resize``, in a test pipeline after it, so that the ground
    truth keeps the size of the original image.

    Parts that cannot be drawn are left out, with a warning. A mask without
    pixels is a damaged annotation and raises, but where ``no_target`` of the
    item is true: its expression refers to no object in the image.
    """

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` (H0, W0) uint8."""
        height, width = results['height'], results['width']
        name = f'{_ids(results)} ({results["img_path"]:.300})'
        segmentation = results['segmentation']
        try:
            mask, flaws = draw_with_flaws(segmentation, height, width)
        except FileNotFoundError as error:
            near = near_path(segmentation)
            raise FileNotFoundError(
                f'mask {segmentation:.300} of {name} does not exist; '
                + (f'there is {near}: ' if near else '')
                + 'correct the path, or set data_prefix of the data set to '
                'the folder of the masks'
            ) from error
        # pycocotools raises bare Exceptions.
        except Exception as error:
            raise ValueError(
                f'the segmentation of {name} cannot be drawn: {error!s:.300}'
            ) from error
        for kind, number in flaws.items():
            _warn(kind, f'{number} parts of the mask of {name} {FLAWS[kind]}')
        if not mask.any() and not results.get('no_target'):
            raise ValueError(
                f'the mask of {name} has no pixels, so there is nothing to '
                'find: correct its segmentation in the annotation file, leave '
                'its expression out (skip_sent_ids of RefCOCODataset), or set '
                'no_target if it is a no-target expression'
            )
        results['gt_seg_map'] = mask
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results


def _warn(kind: str, case: str) -> None:
    """Count items with a flaw; log the first, the 10th, the 100th ..."""
    _met[kind] += 1
    if str(_met[kind]).rstrip('0') == '1':
        print_log(
            f'{kind} ({_met[kind]} so far): {case}; check the data with '
            '"mmdit check-data"',
            logger='current',
            level=logging.WARNING,
        )


def _ids(results: dict) -> str:
    """Name the item: file and line where the data set gives them."""
    if 'source' in results:
        return results['source']
    names = [
        f'{key} {results[key]!s:.80}' for key in _ID_KEYS if key in results
    ]
    return ', '.join(names) or 'an item without ids'
