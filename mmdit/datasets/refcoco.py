"""RefCOCO, RefCOCO+, RefCOCOg and RefCLEF."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmdit.deprecation import renamed
from mmdit.registry import DATASETS

from .reading.missing import list_missing, list_missing_folders
from .reading.refs import Ref, find_refs, load_split
from .reading.values import Id
from .seeding import process_seeds

_SAMPLE_BY = ('ref', 'sentence')


class ReferDataset(BaseDataset):
    """Base of the data sets of expressions: items by ref or by sentence.

    Args:
        data_root: Folder that holds the folder of each data set.
        data_prefix: Folder of the images, in ``data_root`` or absolute.
        split: ``train``, ``val``, ``test``, ``testA``, ``testB``.
        sample_by: ``'ref'`` for an item per ref with a sentence drawn at each
            visit, ``'sentence'`` for an item per sentence. By default the
            first in training, the second in testing, where drawing would make
            the result a matter of luck.
        pipeline: Transforms.
        test_mode: Whether the data set serves evaluation.
        metainfo: As in MMEngine's ``BaseDataset``, like all that follow.
        indices: The first so many items, or the items with these numbers.
        serialize_data: Keep the items in memory shared by the workers.
        lazy_init: Read the files at first use.
        max_refetch: How often to try another item when the pipeline returns
            None.
    """

    METAINFO: dict = dict(
        classes=('background', 'referent'), palette=[[0, 0, 0], [220, 20, 60]]
    )
    shuffle_expressions = False
    name = ''

    def __init__(
        self,
        *,
        data_root: str,
        data_prefix: dict,
        split: str = 'train',
        sample_by: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        test_mode: bool = False,
        metainfo: Mapping | None = None,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        lazy_init: bool = False,
        max_refetch: int = 1000,
    ) -> None:
        if sample_by is None:
            sample_by = 'sentence' if test_mode else 'ref'
        check_choice('sample_by', sample_by, _SAMPLE_BY)
        if sample_by == 'ref' and (test_mode or self.shuffle_expressions):
            raise ValueError(
                "sample_by='ref' draws a sentence at random at each visit, "
                'but test_mode and shuffle_expressions need every sentence '
                "once: set sample_by='sentence'"
            )
        self.split = split
        self.sample_by = sample_by
        self._generator: np.random.Generator | None = None
        self._generator_owner: tuple | None = None
        super().__init__(
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=data_prefix,
            indices=indices,
            serialize_data=serialize_data,
            pipeline=list(pipeline),
            test_mode=test_mode,
            lazy_init=lazy_init,
            max_refetch=max_refetch,
        )

    def get_data_info(self, idx: int) -> dict:
        """Return a copy of item ``idx``; by ref, with a sentence drawn."""
        record: dict[str, Any]
        record = dict(dataset=self.name, split=self.split)
        record |= super().get_data_info(idx)
        if self.sample_by == 'ref':
            sentences = record['sentences']
            record.update(sentences[self._rng().integers(len(sentences))])
        return record

    def _rng(self) -> np.random.Generator:
        """Return this process's own generator.

        A generator that the parent used before it forked its workers must not
        live on in them: all of them would draw the same.
        """
        seeds = process_seeds()
        owner = (os.getpid(), *seeds)
        if self._generator is None or owner != self._generator_owner:
            self._generator = np.random.default_rng(
                np.random.SeedSequence(seeds)
            )
            self._generator_owner = owner
        return self._generator


FORMER = {'dataset': 'name'}


@DATASETS.register_module()
class RefCOCODataset(ReferDataset):
    """Expressions, each with the image and the mask of what it refers to.

    An item is a plain dict: ``img_path, image_id, ref_id, ann_id, sent_id,
    expression, height, width, segmentation`` (COCO polygons or RLE, as in the
    file) and ``sample_idx``. Items by ref also hold ``sentences``, of which
    each visit draws one, seeded per worker and epoch.

    Args:
        name: Folder of the files in ``data_root``: ``refcoco``,
            ``refcoco+``, ``refcocog``, ``refclef``, or another of the same
            kind.
        split_by: Who made the split: the name in ``refs(<split_by>).p``, such
            as ``unc``, ``umd``, ``google`` or ``berkeley``.
        data_prefix: Folder of the images, in ``data_root`` or absolute. By
            default ``dict(img_path='images/train2014')``, for RefCLEF
            ``images/saiapr_tc-12``, for a folder of another name ``images``.
        shuffle_expressions: The control experiment: each sentence gives way to
            one of another referent of the same image (the next by ``ann_id``,
            in a cycle), with its ``sent_id``, while target, ``ref_id`` and
            ``ann_id`` stay. A model that reads the words must fail here.
            Images with a single referent are left out, with a warning that
            counts them. Needs items by sentence.
        skip_sent_ids: Sentences to leave out, empty ones for instance.
        **kwargs: As in ``ReferDataset``: ``data_root``, ``split``,
            ``sample_by``, ``pipeline``, ``test_mode`` and so on.
    """

    # Folder of each data set, and of its images.
    IMAGES = {
        'refcoco': 'images/train2014',
        'refcoco+': 'images/train2014',
        'refcocog': 'images/train2014',
        'refclef': 'images/saiapr_tc-12',
    }
    OTHER_IMAGES = 'images'
    # Whether a ref may name several annotations, or none.
    GENERALIZED = False

    # Wrappers of data sets mean another data set by 'dataset'.
    @renamed(**FORMER)
    def __init__(
        self,
        *,
        name: str = 'refcoco',
        split_by: str = 'unc',
        data_prefix: dict | None = None,
        shuffle_expressions: bool = False,
        skip_sent_ids: Iterable[int] = (),
        **kwargs: Any,
    ) -> None:
        self.name = name
        self.split_by = split_by
        self.shuffle_expressions = shuffle_expressions
        self.skip_sent_ids = tuple(skip_sent_ids)
        super().__init__(
            data_prefix=data_prefix
            or dict(img_path=self.IMAGES.get(name, self.OTHER_IMAGES)),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """Return one record per item."""
        folder = Path(self.data_root) / self.name
        refs = load_split(
            folder,
            self.split_by,
            self.split,
            self.skip_sent_ids,
            self.GENERALIZED,
        )
        if self.sample_by == 'ref':
            return [
                dict(self._record(ref), sentences=ref.sentences)
                for ref in refs
            ]
        if self.shuffle_expressions:
            refs = _shuffle_expressions(refs)
        return [
            dict(self._record(ref), **sentence)
            for ref in refs
            for sentence in ref.sentences
        ]

    def list_missing(self) -> list[str]:
        """Say what does not exist of the files, and what to do."""
        folder = Path(self.data_root) / self.name
        return [
            *list_missing(find_refs(folder, self.split_by, self.GENERALIZED)),
            *list_missing_folders(self.data_prefix),
        ]

    def _record(self, ref: Ref) -> dict:
        """Return what all sentences of a ref share."""
        prefix = self.data_prefix['img_path']
        return dict(
            img_path=os.path.join(prefix, ref.image['file_name']),
            image_id=ref.image['id'],
            ref_id=ref.ref_id,
            height=ref.image['height'],
            width=ref.image['width'],
            **self._target(ref),
        )

    def _target(self, ref: Ref) -> dict:
        """Return what the ref refers to."""
        (annotation,) = ref.annotations
        return dict(
            ann_id=annotation['id'],
            segmentation=annotation.get('segmentation'),
        )


def _order(name: Id) -> tuple:
    """Order ids, of which some may be numbers and some text."""
    return isinstance(name, str), name


def check_choice(
    name: str, value: str, known: tuple[str, ...], hint: str = ''
) -> None:
    """Raise unless the value of an argument is a known one."""
    if value not in known:
        raise ValueError(
            f'unknown {name} {value!r}; set it to one of: {", ".join(known)}'
            f'{hint and "; "}{hint}'
        )


def _shuffle_expressions(refs: list[Ref]) -> list[Ref]:
    """Give each ref sentences of its image's next referent, by ``ann_id``.

    A ref keeps its number of sentences: those of the other repeat or are cut.
    """

    def image_id(ref: Ref) -> tuple:
        return _order(ref.image['id'])

    shuffled, single = [], 0
    # Sorting is stable: refs of one image stay in the file's order.
    for _, group in groupby(sorted(refs, key=image_id), key=image_id):
        of_image = list(group)
        said: dict[Id, list[dict]] = {}
        for ref in of_image:
            said.setdefault(ref.ann_ids[0], []).extend(ref.sentences)
        if len(said) == 1:
            single += 1
            continue
        ann_ids = sorted(said, key=_order)
        following = dict(zip(ann_ids, ann_ids[1:] + ann_ids[:1], strict=True))
        for ref in of_image:
            other = said[following[ref.ann_ids[0]]]
            sentences = [
                other[n % len(other)] for n in range(len(ref.sentences))
            ]
            shuffled.append(ref._replace(sentences=sentences))
    if single:
        print_log(
            f'shuffle_expressions leaves out {single} images that have a '
            'single referent',
            logger='current',
            level=logging.WARNING,
        )
    return shuffled
