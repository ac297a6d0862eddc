"""REFER and gREFER files and JSON lines, up to the masks that they draw."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.registry import DefaultScope
from pycocotools import mask as coco_mask

from mmdit.datasets import (
    GRefCOCODataset,
    RefCOCODataset,
    ReferJSONLDataset,
)
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask

from ..judging import ROOT, Target
from ..pickles import SEEDS, mutate_pickle
from ..trees import mutate_json, mutate_lines

_REAL = ROOT.parent / 'shared' / 'data' / 'refer_mini'
# Items of an input whose masks are drawn.
_DRAWN = 4
_HEIGHT, _WIDTH = 40, 60


def _compressed() -> dict:
    """Return an RLE of pycocotools."""
    mask = np.zeros((_HEIGHT, _WIDTH), np.uint8, order='F')
    mask[10:20, 10:30] = 1
    rle = coco_mask.encode(mask)
    return dict(size=list(rle['size']), counts=rle['counts'].decode())


def _segmentations() -> list:
    """Return one of each kind that COCO has."""
    before, inside = 10 * _HEIGHT + 5, 200
    rest = _HEIGHT * _WIDTH - before - inside
    return [
        [[2, 3, 22, 3, 22, 33, 2, 33]],
        [[40, 5, 50, 5, 50.5, 15], [45.25, 20, 55, 20, 55, 30, 45, 30]],
        dict(size=[_HEIGHT, _WIDTH], counts=[before, inside, rest]),
        _compressed(),
    ]


def _instances() -> dict:
    return dict(
        images=[
            dict(id=i, height=_HEIGHT, width=_WIDTH, file_name=f'{i}.png')
            for i in (1, 2)
        ],
        annotations=[
            dict(
                id=100 + i,
                image_id=1 + i % 2,
                segmentation=segmentation,
                area=300,
                iscrowd=int(isinstance(segmentation, dict)),
                category_id=1,
                bbox=[2, 3, 20, 30],
            )
            for i, segmentation in enumerate(_segmentations())
        ],
        categories=[dict(id=1, name='thing')],
    )


def _refs(annotations: list, generalized: bool = False) -> list[dict]:
    """Return a ref of two sentences for each annotation."""
    return [
        dict(
            ref_id=10 + i,
            ann_id=[ann['id']] if generalized else ann['id'],
            image_id=ann['image_id'],
            split='train',
            category_id=1,
            file_name='1.png',
            no_target=False,
            sent_ids=[2 * i, 2 * i + 1],
            sentences=[
                dict(sent_id=2 * i + k, sent=sent, raw=sent, tokens=[sent])
                for k, sent in enumerate(('Left  box ', 'a thing'))
            ],
        )
        for i, ann in enumerate(annotations)
    ]


def _real(dataset: str, name: str, keep: int = 3) -> list[Any]:
    """Return the first entries of the real files, where these are."""
    path = _REAL / dataset / name
    if not path.is_file():
        return []
    if path.suffix == '.p':
        return [pickle.loads(path.read_bytes())[:keep]]
    content = json.loads(path.read_bytes())
    annotations = content['annotations'][:keep]
    wanted = {annotation['image_id'] for annotation in annotations}
    images = [im for im in content['images'] if im['id'] in wanted]
    return [dict(images=images, annotations=annotations)]


def _write(folder: Path) -> Path:
    """Write images, instances and refs; return the folder of the set."""
    images = folder / 'images' / 'train2014'
    images.mkdir(parents=True)
    pixels = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8)
    for name in ('1.png', '2.png'):
        cv2.imwrite(str(images / name), pixels)
        cv2.imwrite(str(folder / name), pixels)
    content = _instances()
    for dataset in ('refcoco', 'grefcoco'):
        (folder / dataset).mkdir()
        path = folder / dataset / 'instances.json'
        path.write_text(json.dumps(content))
    refs = pickle.dumps(_refs(content['annotations']), 2)
    (folder / 'refcoco' / 'refs(unc).p').write_bytes(refs)
    return folder / 'refcoco'


def _draw_all(make: Callable[[], Any]) -> Callable[[], None]:
    """Return a reader: the data set, and the masks of its first items."""
    draw = LoadReferMask()
    if DefaultScope.get_current_instance() is None:
        DefaultScope.get_instance('fuzz', scope_name='mmdit')

    def items_and_masks() -> None:
        dataset = make()
        for i in range(min(len(dataset), _DRAWN)):
            draw.transform(dataset.get_data_info(i))

    return items_and_masks


def _refer(folder: Path, kind: type, dataset: str) -> Callable[[], None]:
    return _draw_all(
        lambda: kind(
            data_root=str(folder),
            name=dataset,
            split='train',
            test_mode=True,
            serialize_data=False,
        )
    )


def make_refs(folder: Path) -> Target:
    """RefCOCO's pickle of refs."""
    path = _write(folder) / 'refs(unc).p'
    tree = _refs(_instances()['annotations'])
    trees = (tree, tree[:1], *_real('refcoco', 'refs(unc).p'))
    seeds = [pickle.dumps(t, p) for t in trees for p in (0, 1, 2, 4, 5)]
    return Target(
        path,
        [_refer(folder, RefCOCODataset, 'refcoco')],
        [*seeds, *SEEDS],
        lambda data, random: mutate_pickle(data, random, trees),
        (path.name, 'ref_id'),
    )


def make_grefs(folder: Path) -> Target:
    """Make gRefCOCO's JSON of refs."""
    _write(folder)
    path = folder / 'grefcoco' / 'grefs(unc).json'
    tree = _refs(_instances()['annotations'], generalized=True)
    none = dict(tree[0], ann_id=[-1], no_target=True, ref_id=20)
    several = dict(tree[0], ann_id=[100, 102], ref_id=21)
    return Target(
        path,
        [_refer(folder, GRefCOCODataset, 'grefcoco')],
        [json.dumps([*tree, none, several]).encode()],
        mutate_json,
        (path.name, 'ref_id'),
    )


def make_instances(folder: Path) -> Target:
    """COCO's instances, with refs that name whatever annotations it has."""
    path = _write(folder) / 'instances.json'
    refs = path.with_name('refs(unc).p')
    trees = [_instances(), *_real('refcoco', path.name)]
    seeds = [json.dumps(tree).encode() for tree in trees]
    known = refs.read_bytes()

    def aim_refs() -> None:
        """Let the refs name the annotations of this input, if any."""
        try:
            content = json.loads(path.read_bytes())
            annotations = content['annotations'][:_DRAWN]
            refs.write_bytes(pickle.dumps(_refs(annotations), 2))
        except Exception:  # no COCO file: any refs will do
            refs.write_bytes(known)

    return Target(
        path,
        [aim_refs, _refer(folder, RefCOCODataset, 'refcoco')],
        seeds,
        mutate_json,
        (path.name, refs.name, 'ref_id'),
    )


def make_jsonl(folder: Path) -> Target:
    """JSON lines, with image and mask of the first rows."""
    _write(folder)
    path = folder / 'rows.jsonl'
    cv2.imwrite(str(folder / 'mask.png'), np.ones((_HEIGHT, _WIDTH), np.uint8))
    masks = [*_segmentations(), 'mask.png']
    rows = [
        dict(image='1.png', expression=f'Thing {i}', mask=mask, id=i)
        for i, mask in enumerate(masks)
    ]
    rows.append(dict(image='2.png', expression='none', no_target=True))
    load, draw = LoadReferImage(), LoadReferMask()

    def rows_and_masks() -> None:
        dataset = ReferJSONLDataset(
            ann_file=str(path), serialize_data=False, test_mode=True
        )
        for i in range(min(len(dataset), _DRAWN)):
            draw.transform(load.transform(dataset.get_data_info(i)))

    return Target(
        path,
        [rows_and_masks],
        [
            *(json.dumps(row).encode() for row in rows),
            b'\n'.join(json.dumps(row).encode() for row in rows),
            b'\xef\xbb\xbf' + json.dumps(rows[0]).encode() + b'\r\n\n',
        ],
        mutate_lines,
        (path.name,),
    )
