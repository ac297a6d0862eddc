"""A data set of one's own: a JSON-lines file, one row per expression."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset

from mmdit.registry import DATASETS

from .reading.missing import list_missing_folders
from .reading.rows import FORMAT, join_mask, read_rows
from .refcoco import RefCOCODataset

_PREFIXES = ('img_path', 'mask_path')


@DATASETS.register_module()
class ReferJSONLDataset(BaseDataset):
    """Expressions of a JSON-lines file; docs/own_data.md has the format.

    An item is an expression: a dict of ``img_path, image_id, ref_id, ann_id,
    sent_id, expression, segmentation`` (COCO polygons, RLE, or the path of a
    PNG), ``no_target``, ``source`` (file and line, for messages) and
    ``sample_idx``. ``sent_id`` is the number of the line, ``ref_id`` and
    ``ann_id`` are the row's ``id`` if it has one, else that number.

    Rows are checked when the file is read, images and masks when an item is
    loaded. ``mmdit check-data`` checks all at once.

    Args:
        ann_file: The file, in ``data_root`` or absolute.
        data_prefix: ``dict(img_path=..., mask_path=...)``, the folders that
            relative paths of images and of masks start from, in ``data_root``
            or absolute. By default both start from the folder of the file.
        **kwargs: As in MMEngine's ``BaseDataset``.
    """

    METAINFO: dict = RefCOCODataset.METAINFO

    def __init__(
        self,
        *,
        ann_file: str,
        data_prefix: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        prefix = dict(data_prefix or {})
        if unknown := sorted(set(prefix) - set(_PREFIXES)):
            raise ValueError(
                f'data_prefix of ReferJSONLDataset has no '
                f'{", ".join(unknown)}; set {" or ".join(_PREFIXES)}'
            )
        super().__init__(ann_file=ann_file, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one record per row."""
        folder = os.path.dirname(self.ann_file)
        image_root, mask_root = (
            self.data_prefix.get(key, folder) for key in _PREFIXES
        )
        records = []
        for line, row in read_rows(self.ann_file, image_root, mask_root):
            if isinstance(row, ValueError):
                raise ValueError(
                    f'{self.ann_file}, line {line}: {row}; {FORMAT}'
                ) from row
            name = line if row.name is None else row.name
            records.append(
                dict(
                    img_path=os.path.join(image_root, row.image),
                    image_id=row.image_id,
                    ref_id=name,
                    ann_id=name,
                    sent_id=line,
                    expression=row.expression,
                    segmentation=join_mask(mask_root, row.mask),
                    no_target=row.no_target,
                    **dict(
                        zip(('height', 'width'), row.size or (), strict=False)
                    ),
                )
            )
            if row.turn_by_exif is not None:
                records[-1]['turn_by_exif'] = row.turn_by_exif
        if not records:
            raise ValueError(f'{self.ann_file} has no rows; {FORMAT}')
        return records

    def list_missing(self) -> list[str]:
        """Say what does not exist of the files, and what to do."""
        missing = list_missing_folders(self.data_prefix)
        try:
            next(read_rows(self.ann_file), None)
        except (FileNotFoundError, ValueError) as error:
            missing.insert(0, str(error))
        return missing

    def get_data_info(self, idx: int) -> dict:
        """Return a copy of item ``idx``."""
        record = super().get_data_info(idx)
        # Of result rows, which may be of several files.
        path = Path(self.ann_file)
        record['dataset'] = Path(self.data_root or path.parent).name
        record['split'] = path.stem
        record['source'] = f'{self.ann_file}, line {record["sent_id"]}'
        return record
