"""Loading of an item's image and mask."""

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from pycocotools import mask as coco_mask

from mmdit.registry import TRANSFORMS

_ID_KEYS = ('image_id', 'ref_id', 'ann_id', 'sent_id')
# A polygon needs three corners; pycocotools takes four numbers for a box.
_MIN_POLYGON = 6


@TRANSFORMS.register_module()
class LoadReferImage(LoadImageFromFile):
    """Load ``img_path`` as a BGR image, as its pixels are stored.

    COCO's masks refer to the stored pixels, so the orientation in a camera's
    EXIF data is left alone.

    Args:
        backend_args: Where files live; as in mmcv's ``LoadImageFromFile``.
    """

    def __init__(self, *, backend_args: dict | None = None) -> None:
        super().__init__(
            color_type='color_ignore_orientation', backend_args=backend_args
        )

    def transform(self, results: dict) -> dict:
        """Add ``img`` (H, W, 3) uint8, ``img_shape`` and ``ori_shape``."""
        path = results['img_path']
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'image {path} of {_ids(results)} does not exist; set '
                'data_prefix of the data set to the folder of the images'
            ) from error
        image = self._decode(content)
        if image is None:
            raise ValueError(
                f'{path} of {_ids(results)} is not a complete image '
                f'({len(content)} bytes); download it again'
            )
        got = image.shape[:2]
        expected = results.get('height', got[0]), results.get('width', got[1])
        if got != expected:
            raise ValueError(
                f'{path} of {_ids(results)} is {got[0]}x{got[1]} (height x '
                f'width), its annotation says {expected[0]}x{expected[1]}; '
                'the masks fit the original images only, neither resized nor '
                'rotated: set data_prefix to their folder'
            )
        results.update(img=image, img_shape=got, ori_shape=got)
        return results

    def _decode(self, content: bytes) -> np.ndarray | None:
        """Decode an image, None where that fails or it is incomplete."""
        if not content or _is_cut_jpeg(content):
            return None
        try:
            return mmcv.imfrombytes(
                content, flag=self.color_type, backend=self.imdecode_backend
            )
        # OpenCV returns None for most defects, and raises for some.
        except cv2.error:
            return None


@TRANSFORMS.register_module()
class LoadReferMask(BaseTransform):
    """Draw ``segmentation`` as the 0/1 mask ``gt_seg_map``.

    All polygons of an annotation belong to the one mask. In a training
    pipeline it stands before ``Resize``, in a test pipeline after it, so that
    the truth keeps the size of the original image.
    """

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` (H0, W0) uint8."""
        height, width = results['height'], results['width']
        try:
            mask = draw_mask(results['segmentation'], height, width)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'the segmentation of {_ids(results)} ({results["img_path"]}) '
                f'cannot be drawn: {error}; expected COCO polygons or RLE'
            ) from error
        if not mask.any():
            raise ValueError(
                f'the mask of {_ids(results)} ({results["img_path"]}) has no '
                'pixels, so there is nothing to find: correct its '
                'segmentation in instances.json, or leave its sentences out '
                'by skip_sent_ids of the data set'
            )
        results['gt_seg_map'] = mask
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results


def draw_mask(
    segmentation: dict | list, height: int, width: int
) -> np.ndarray:
    """Draw a COCO segmentation.

    Args:
        segmentation: One RLE (compressed or not), or a list of polygons or
            RLEs whose union is meant. Polygons of fewer than three corners
            enclose nothing.
        height: Height of the image.
        width: Width of the image.

    Returns:
        The (height, width) mask, uint8, 0 or 1.
    """
    if isinstance(segmentation, dict):
        segmentation = [segmentation]
    polygons = [
        part
        for part in segmentation
        if not isinstance(part, dict) and len(part) >= _MIN_POLYGON
    ]
    rles = [
        _compress(part, height, width)
        for part in segmentation
        if isinstance(part, dict)
    ]
    if polygons:
        rles += coco_mask.frPyObjects(polygons, height, width)
    if not rles:
        return np.zeros((height, width), np.uint8)
    return coco_mask.decode(coco_mask.merge(rles))


def _compress(rle: dict, height: int, width: int) -> dict:
    """Return the RLE in compressed form, its size checked."""
    counts = rle['counts']
    if list(rle['size']) != [height, width]:
        raise ValueError(
            f'RLE of size {list(rle["size"])} in an image of size '
            f'{[height, width]}'
        )
    if isinstance(counts, (str, bytes)):
        return rle
    if sum(counts) != height * width:
        raise ValueError(
            f'RLE counts {sum(counts)} pixels in an image of {height * width}'
        )
    return coco_mask.frPyObjects(rle, height, width)


def _is_cut_jpeg(content: bytes) -> bool:
    """Tell whether a JPEG breaks off, which some decoders paint grey.

    Its last scan (FFDA) must be followed by the end of the image (FFD9).
    """
    is_jpeg = content.startswith(b'\xff\xd8')
    return is_jpeg and content.rfind(b'\xff\xd9') < content.rfind(b'\xff\xda')


def _ids(results: dict) -> str:
    """Name the item."""
    names = [f'{key} {results[key]}' for key in _ID_KEYS if key in results]
    return ', '.join(names) or 'an item without ids'
