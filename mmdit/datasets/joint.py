"""Several of COCO's referring data sets trained together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmdit.deprecation import rename
from mmdit.registry import DATASETS

from .reading.refs import find_refs, load_refs
from .reading.values import Id
from .refcoco import (
    FORMER,
    RefCOCODataset,
    ReferDataset,
    check_choice,
)

_IMAGES = 'images/train2014'
# Data sets whose image_id is COCO's, the same in all of them.
_ON_COCO = tuple(
    name for name, folder in RefCOCODataset.IMAGES.items() if folder == _IMAGES
)
_MEMBER_KEYS = ('name', 'split_by', 'skip_sent_ids')
_THE_THREE = (
    dict(name='refcoco', split_by='unc'),
    dict(name='refcoco+', split_by='unc'),
    dict(name='refcocog', split_by='umd'),
)


@DATASETS.register_module()
class JointRefCOCODataset(ReferDataset):
    """Items of several data sets on COCO's images, one after another.

    What one data set holds out for testing, another may train on: the splits
    were made independently, of the same images. Therefore images that any
    member holds out are removed from the training items of all.

    Items are those of ``RefCOCODataset``, with ``dataset`` and ``split_by`` of
    the member that they come from; ``ref_id`` and ``sent_id`` are unique only
    within a member, ``sample_idx`` is unique.

    Args:
        members: The data sets, each ``dict(name=..., split_by=...)`` and
            perhaps ``skip_sent_ids``; by default RefCOCO and RefCOCO+ (unc)
            and RefCOCOg (umd).
        split: The split of all members.
        remove_leaks: Remove training items whose ``image_id`` occurs in any
            split but ``train`` of any member, and log how many. Only for
            ``split='train'``.
        data_prefix: Folder of the images, in ``data_root`` or absolute.
        data_root: As in ``ReferDataset``, like what follows it.
    """

    def __init__(
        self,
        *,
        data_root: str,
        members: Sequence[Mapping] = _THE_THREE,
        split: str = 'train',
        remove_leaks: bool = True,
        data_prefix: dict | None = None,
        sample_by: str | None = None,
        test_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        if remove_leaks and split != 'train':
            raise ValueError(
                'remove_leaks=True keeps held-out images out of training, but '
                f'split is {split!r}; set remove_leaks=False to join splits '
                'that are not trained on'
            )
        if not members:
            raise ValueError(
                'members is empty; set it to a list of dict(name=..., '
                'split_by=...)'
            )
        self.remove_leaks = remove_leaks
        shared: dict[str, Any] = dict(
            data_root=data_root,
            split=split,
            data_prefix=data_prefix or dict(img_path=_IMAGES),
            sample_by=sample_by,
            test_mode=test_mode,
        )
        # Lazy: they lend their way of reading, and keep nothing.
        self.members = [
            RefCOCODataset(**_checked(member), **shared, lazy_init=True)
            for member in members
        ]
        super().__init__(**shared, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return the records of all members, without leaks."""
        held_out = self._held_out_images() if self.remove_leaks else set()
        joined = []
        for member in self.members:
            records = member.load_data_list()
            kept = [r for r in records if r['image_id'] not in held_out]
            if self.remove_leaks:
                removed = [r for r in records if r['image_id'] in held_out]
                _log_removed(member, removed, kept)
            source = dict(dataset=member.name, split_by=member.split_by)
            joined += [dict(record, **source) for record in kept]
        if not joined:
            raise ValueError(
                'no items are left: each image of the members occurs in a '
                'held-out split as well; set other members, or '
                'remove_leaks=False if that is intended'
            )
        return joined

    def list_missing(self) -> list[str]:
        """Say what does not exist of the files of all members."""
        return [line for one in self.members for line in one.list_missing()]

    def _held_out_images(self) -> set[Id]:
        """Return the images of every split but train of every member."""
        folders = [Path(self.data_root) / m.name for m in self.members]
        return {
            ref.image_id
            for folder, member in zip(folders, self.members, strict=True)
            for ref in load_refs(find_refs(folder, member.split_by))
            if ref.split != 'train'
        }


def _checked(member: Mapping) -> dict:
    """Return a copy of one of ``members``, its keys and data set checked."""
    member = rename(dict(member), FORMER, 'a member')
    unknown = sorted(set(member) - set(_MEMBER_KEYS))
    if unknown or 'name' not in member:
        raise ValueError(
            f'a member of JointRefCOCODataset is {member}; expected '
            f'name and perhaps {", ".join(_MEMBER_KEYS[1:])}; all else is '
            'set on JointRefCOCODataset itself, for all members'
        )
    check_choice(
        'name of a member',
        member['name'],
        _ON_COCO,
        'the images of all members must be those of COCO, or their image_id '
        'could not be compared',
    )
    return member


def _log_removed(
    member: RefCOCODataset, removed: list[dict], kept: list[dict]
) -> None:
    """Count what a member loses to the held-out splits."""

    def number(records: list[dict], key: str) -> int:
        return len({record[key] for record in records})

    print_log(
        f'JointRefCOCODataset: {member.name} ({member.split_by}) loses '
        f'{number(removed, "ref_id")} refs of {number(removed, "image_id")} '
        f'images that are held out, and keeps {number(kept, "ref_id")} refs '
        f'of {number(kept, "image_id")} images',
        logger='current',
    )
