"""A data set of one's own: JSON-lines files, one row per expression."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset, force_full_init

from mmdit.registry import DATASETS

from .reading.indexed import IndexedRows, Place, Roots, find_files
from .reading.missing import list_missing_folders
from .reading.rows import FORMAT, Row, check_kind, join_mask
from .refcoco import RefCOCODataset

_PREFIXES = ('img_path', 'mask_path')


@DATASETS.register_module()
class ReferJSONLDataset(BaseDataset):
    """Expressions of JSON-lines files; docs/own_data.md has the format.

    An item is an expression: a dict of ``img_path, image_id, ref_id, ann_id,
    sent_id, expression, segmentation`` (COCO polygons, RLE, or the path of a
    PNG), ``no_target``, ``source`` (file and line, for messages) and
    ``sample_idx``. ``sent_id`` is the number of the line, ``ref_id`` and
    ``ann_id`` are the row's ``id`` if it has one, else that number. Lines are
    counted on from file to file.

    Rows are checked when a file is first opened, which leaves an index of 8
    bytes per row beside it, and each again when it is read; images and masks
    when an item is loaded. ``mmdit check-data`` checks all at once.

    Args:
        ann_file: The file, in ``data_root`` or absolute, or a pattern such as
            ``part-*.jsonl`` of several, which follow one another, sorted.
        data_prefix: ``dict(img_path=..., mask_path=...)``, the folders that
            relative paths of images and of masks start from, in ``data_root``
            or absolute. By default both start from the folder of the file.
        **kwargs: As in MMEngine's ``BaseDataset``; ``serialize_data`` has no
            part here, for no items are kept in memory.
    """

    METAINFO: dict = RefCOCODataset.METAINFO

    def __init__(
        self,
        *,
        ann_file: str | os.PathLike,
        data_prefix: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        prefix = dict(data_prefix or {})
        if unknown := sorted(set(prefix) - set(_PREFIXES)):
            raise ValueError(
                f'data_prefix of ReferJSONLDataset has no '
                f'{", ".join(unknown)}; set {" or ".join(_PREFIXES)}'
            )
        if not isinstance(ann_file, str | os.PathLike):
            raise TypeError(
                f'ann_file of ReferJSONLDataset is {ann_file!r}, expected the '
                "path of a file, or a pattern such as 'part-*.jsonl' of "
                'several'
            )
        # Items stay in the file: there is nothing to keep in memory.
        kwargs['serialize_data'] = False
        super().__init__(
            ann_file=os.fspath(ann_file), data_prefix=prefix, **kwargs
        )

    def load_data_list(self) -> IndexedRows:
        """Return the records of all rows, to be read when asked for."""
        roots: Roots = tuple(self.data_prefix.get(key) for key in _PREFIXES)
        files = find_files(self.ann_file, self.data_root)
        # Of result rows, which may be of several files.
        path = Path(self.ann_file)
        source = dict(
            dataset=Path(self.data_root or path.parent).name, split=path.stem
        )
        records = IndexedRows(files, partial(_to_record, roots, source), roots)
        if not records:
            raise ValueError(f'{self.ann_file} has no rows; {FORMAT}')
        return records

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Return item ``idx``, which is read from its file."""
        if not isinstance(self.data_list, IndexedRows):  # filtered
            return super().get_data_info(idx)
        # No other item is the same object, so that it needs no deep copy.
        sample_idx = idx if idx >= 0 else len(self) + idx
        return dict(self.data_list[idx], sample_idx=sample_idx)

    def _get_unserialized_subset(self, indices: int | Sequence[int]) -> Any:
        if isinstance(indices, int) or not isinstance(
            self.data_list, IndexedRows
        ):
            return super()._get_unserialized_subset(indices)
        return self.data_list.select(indices)

    def list_missing(self) -> list[str]:
        """Say what does not exist of the files, and what to do."""
        missing = list_missing_folders(self.data_prefix)
        try:
            for path in find_files(self.ann_file, self.data_root):
                check_kind(path)
        except (FileNotFoundError, ValueError) as error:
            missing.insert(0, str(error))
        return missing


def _to_record(roots: Roots, source: dict, place: Place, row: Row) -> dict:
    """Return a row as an item."""
    folder = os.path.dirname(place.path)
    image_root, mask_root = (
        folder if root is None else root for root in roots
    )
    name = place.number if row.name is None else row.name
    record = dict(
        source,
        img_path=os.path.join(image_root, row.image),
        image_id=row.image_id,
        ref_id=name,
        ann_id=name,
        sent_id=place.number,
        expression=row.expression,
        segmentation=join_mask(mask_root, row.mask),
        no_target=row.no_target,
        source=f'{place.path}, line {place.line}',
        **dict(zip(('height', 'width'), row.size or (), strict=False)),
    )
    if row.turn_by_exif is not None:
        record['turn_by_exif'] = row.turn_by_exif
    return record
