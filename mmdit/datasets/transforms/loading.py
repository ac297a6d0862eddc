"""Loading of an item's image and mask."""

from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio

from mmdit.decoding import decode_image
from mmdit.registry import TRANSFORMS

from ..reading.segmentations import draw_mask

_ID_KEYS = ('image_id', 'ref_id', 'ann_id', 'sent_id')


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
        """Add ``img`` (H, W, 3) uint8, ``img_shape`` and ``ori_shape``.

        Also ``height`` and ``width`` of an item that comes without them.
        """
        path = results['img_path']
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'image {path} of {_ids(results)} does not exist; set '
                'data_prefix of the data set to the folder of the images'
            ) from error
        image = decode_image(content, self.color_type)
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
        results.update(height=got[0], width=got[1])
        return results


@TRANSFORMS.register_module()
class LoadReferMask(BaseTransform):
    """Draw ``segmentation`` as the 0/1 mask ``gt_seg_map``.

    A segmentation is a list of COCO polygons, which all belong to the one
    mask, a COCO RLE, or the path of a PNG of the image's size, in which 0 is
    background and all else the referent. In a training pipeline the transform
    stands before ``Resize``, in a test pipeline after it, so that the truth
    keeps the size of the original image.

    A mask without pixels is a damaged annotation and raises, but where
    ``no_target`` of the item is true: its expression names nothing in the
    image.
    """

    def transform(self, results: dict) -> dict:
        """Add ``gt_seg_map`` (H0, W0) uint8."""
        height, width = results['height'], results['width']
        name = f'{_ids(results)} ({results["img_path"]})'
        segmentation = results['segmentation']
        try:
            mask = draw_mask(segmentation, height, width)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'mask {segmentation} of {name} does not exist; correct the '
                'path, or set data_prefix of the data set to the folder of '
                'the masks'
            ) from error
        # pycocotools raises bare Exceptions.
        except Exception as error:
            raise ValueError(
                f'the segmentation of {name} cannot be drawn: {error}'
            ) from error
        if not mask.any() and not results.get('no_target'):
            raise ValueError(
                f'the mask of {name} has no pixels, so there is nothing to '
                'find: correct its segmentation in the annotation file, leave '
                'its expression out (skip_sent_ids of RefCOCODataset), or set '
                'no_target if it names nothing on purpose'
            )
        results['gt_seg_map'] = mask
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results


def _ids(results: dict) -> str:
    """Name the item: file and line where the data set gives them."""
    if 'source' in results:
        return results['source']
    names = [f'{key} {results[key]}' for key in _ID_KEYS if key in results]
    return ', '.join(names) or 'an item without ids'
