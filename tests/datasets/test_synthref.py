"""SynthRef: formats, truth of the expressions, determinism, rejections."""

import dataclasses
import io
import itertools
import json
import math
import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmdit.cli import synthref as command
from mmdit.datasets import synthref
from mmdit.datasets.synthref import scene

ARGUMENTS = dict(train=80, val=40, size=64, seed=5)

# -- Fixtures. ---------------------------------------------------------------


class PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f'{module}.{name} is not a plain type')


@dataclasses.dataclass
class Written:
    root: Path
    instances: dict
    refs: list[dict]

    @classmethod
    def load(cls, root: Path) -> 'Written':
        pickled = (root / 'refcoco/refs(unc).p').read_bytes()
        return cls(
            root,
            json.loads((root / 'refcoco/instances.json').read_text()),
            PlainUnpickler(io.BytesIO(pickled)).load(),
        )


@pytest.fixture(scope='module')
def written(tmp_path_factory) -> Written:
    root = tmp_path_factory.mktemp('synthref') / 'data'
    synthref.write_synthref(root, **ARGUMENTS)
    return Written.load(root)


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


# -- Formats. ----------------------------------------------------------------


def test_refs_have_the_keys_and_ids_of_refcoco(written):
    annotations = {a['id']: a for a in written.instances['annotations']}
    images = {i['id']: i for i in written.instances['images']}
    assert len(annotations) == len(written.instances['annotations'])
    assert len(images) == ARGUMENTS['train'] + ARGUMENTS['val']
    sent_ids = [i for ref in written.refs for i in ref['sent_ids']]
    assert len(set(sent_ids)) == len(sent_ids)
    assert len({ref['ref_id'] for ref in written.refs}) == len(written.refs)
    assert {ref['split'] for ref in written.refs} == {'train', 'val'}
    for ref in written.refs:
        annotation = annotations[ref['ann_id']]
        assert ref['image_id'] == annotation['image_id']
        assert ref['category_id'] == annotation['category_id']
        assert ref['file_name'] == images[ref['image_id']]['file_name']
        assert ref['sent_ids'] == [s['sent_id'] for s in ref['sentences']]
        assert 1 <= len(ref['sentences']) <= 3
        for sentence in ref['sentences']:
            assert sentence.keys() == {'sent_id', 'sent', 'raw', 'tokens'}
            assert sentence['tokens'] == sentence['sent'].split()


def test_pycocotools_reads_the_instances(written):
    coco = COCO(str(written.root / 'refcoco/instances.json'))
    names = {c['id']: c['name'] for c in coco.loadCats(coco.getCatIds())}
    for annotation in coco.loadAnns(coco.getAnnIds())[:60]:
        shape = annotation['attributes']['shape']
        assert names[annotation['category_id']] == shape
        mask = coco.annToMask(annotation)
        assert mask.sum() == pytest.approx(annotation['area'], rel=0.2)
        x, y, w, h = annotation['bbox']
        assert mask[int(y) : math.ceil(y + h), int(x) : math.ceil(x + w)].sum()
        assert 0 < x < x + w < 64 and 0 < y < y + h < 64


def test_every_image_is_there_at_its_size(written):
    for record in written.instances['images']:
        path = written.root / 'images/train2014' / record['file_name']
        shape = cv2.imread(str(path)).shape
        assert shape == (record['height'], record['width'], 3) == (64, 64, 3)


BLACK = ((0.0, 0.0, 0.0),) * 9


def paint_alone(obj: synthref.SceneObject, size: int, **looks) -> np.ndarray:
    """Return the (size, size) brightness of one object, on black."""
    scene = synthref.Scene((dataclasses.replace(obj, **looks),), BLACK)
    return synthref.render(scene, size).astype(int).max(-1)


@pytest.mark.parametrize('size, least', [(64, 0.85), (128, 0.9)])
def test_polygons_are_what_is_drawn(size, least):
    for index in range(8):
        for obj in synthref.draw_example(0, 'train', index)[0].objects:
            looks = dict(texture='plain', color='orange')
            brightness = paint_alone(obj, size, **looks)
            # A pixel is the object's if half of it is; its rim is 70% bright.
            drawn = brightness > 0.35 * brightness.max()
            polygon = (synthref.outline(obj) * size).ravel().tolist()
            rles = coco_mask.frPyObjects([polygon], size, size)
            mask = coco_mask.decode(rles)[..., 0] > 0
            assert (mask & drawn).sum() / (mask | drawn).sum() >= least, obj


def test_what_is_drawn_lies_within_the_polygons_and_pixels_beside():
    scene, _ = synthref.draw_example(0, 'train', 0)
    backdrop = dataclasses.replace(scene, objects=())
    changed = synthref.render(scene, 64) != synthref.render(backdrop, 64)
    near = np.zeros((64, 64), np.uint8)
    for obj in scene.objects:
        corners = np.rint(synthref.outline(obj) * 64 - 0.5).astype(np.int32)
        cv2.fillPoly(near, [corners], 1)
        cv2.polylines(near, [corners], True, 1, thickness=3)
    assert not (changed.any(-1) & (near == 0)).any()


def test_every_texture_shows_on_a_small_object_at_64_pixels():
    for shape in scene.SHAPES:
        images = {
            texture: paint_alone(
                synthref.SceneObject(
                    shape, 'orange', 'small', texture, (0.5, 0.5), 0.085
                ),
                64,
            )
            for texture in scene.TEXTURES
        }
        inside = images['plain'] > 0
        for one, other in itertools.combinations(images, 2):
            change = abs(images[one] - images[other])[inside]
            # A star holds little more than one dot.
            assert (change > 40).mean() > 0.1, (shape, one, other)


# -- Determinism. ------------------------------------------------------------


def test_same_arguments_give_the_same_bytes(written, tmp_path):
    synthref.write_synthref(tmp_path / 'again', **ARGUMENTS)
    assert files(tmp_path / 'again') == files(written.root)


def test_more_training_images_leave_the_others_alone(written, tmp_path):
    synthref.write_synthref(tmp_path / 'more', **{**ARGUMENTS, 'train': 90})
    more = Written.load(tmp_path / 'more')
    old = {ref['ref_id']: ref for ref in written.refs}
    new = {ref['ref_id']: ref for ref in more.refs}
    assert old.items() <= new.items()
    assert files(more.root / 'images').items() >= (
        files(written.root / 'images').items()
    )


def test_another_seed_gives_other_scenes_but_the_same_vocabulary(
    written, tmp_path
):
    synthref.write_synthref(tmp_path / 'other', **{**ARGUMENTS, 'seed': 6})
    old, new = files(written.root), files(tmp_path / 'other')
    assert old.keys() == new.keys()
    assert {name for name in old if old[name] == new[name]} == {'vocab.txt'}


def test_train_and_val_hold_different_scenes():
    train, val = (
        [synthref.draw_example(0, split, i)[0] for i in range(20)]
        for split in ('train', 'val')
    )
    assert not set(train) & set(val)


def test_size_scales_the_scene_and_nothing_else(written, tmp_path):
    synthref.write_synthref(tmp_path / 'big', **{**ARGUMENTS, 'size': 128})
    big = Written.load(tmp_path / 'big')
    assert big.refs == written.refs
    for one, other in zip(
        written.instances['annotations'],
        big.instances['annotations'],
        strict=True,
    ):
        assert one['attributes'] == other['attributes']
        np.testing.assert_allclose(
            np.array(one['segmentation']) * 2,
            np.array(other['segmentation']),
            atol=0.02,
        )


# -- Rejections. -------------------------------------------------------------

TINY = dict(train=1, val=1, size=32)


@pytest.mark.parametrize(
    'bad, message',
    [
        (dict(size=31), 'size is 31, expected .* 32; set size'),
        (dict(train=-1), 'train is -1, expected .* 0; set train'),
        (dict(val=-2), 'val is -2, expected .* 0; set val'),
        (dict(seed=-3), 'seed is -3, expected .* 0; set seed'),
        (dict(train=10**6), 'train is 1000000, expected less'),
        (dict(train=0, val=0), 'expected at least one image; set'),
        (dict(level='hard'), "unknown level 'hard'; .* easy, crowded"),
    ],
)
def test_bad_arguments_are_named(tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        synthref.write_synthref(tmp_path / 'out', **{**TINY, **bad})
    assert not list(tmp_path.iterdir())


def test_a_fraction_is_rejected(tmp_path):
    with pytest.raises(TypeError, match='size is 64.5, expected an integer'):
        synthref.write_synthref(tmp_path / 'out', size=64.5)


def test_the_same_data_set_is_not_made_twice(tmp_path):
    assert synthref.write_synthref(tmp_path / 'out', **TINY)['size'] == 32
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}
    assert synthref.write_synthref(tmp_path / 'out', **TINY) is None
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*')}


def test_another_data_set_is_replaced_only_when_asked(tmp_path):
    out = tmp_path / 'out'
    synthref.write_synthref(out, **TINY)
    before = files(out)
    with pytest.raises(FileExistsError, match='seed 0 instead of 1.*overwr'):
        synthref.write_synthref(out, **TINY, seed=1)
    assert files(out) == before
    synthref.write_synthref(out, **TINY, seed=1, overwrite=True)
    assert json.loads((out / 'synthref.json').read_text())['seed'] == 1
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize('beside', [None, 'data set'])
def test_other_files_are_never_overwritten(tmp_path, beside):
    if beside:
        synthref.write_synthref(tmp_path, **TINY)
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='other files .thesis.tex'):
        synthref.write_synthref(tmp_path, **TINY, seed=1, overwrite=True)
    assert (tmp_path / 'thesis.tex').exists()


@pytest.mark.parametrize('existing', [False, True])
def test_an_interrupted_run_leaves_what_was_there(tmp_path, existing):
    def interrupt(jobs):
        yield from jobs[:1]
        raise KeyboardInterrupt

    out = tmp_path / 'out'
    if existing:
        synthref.write_synthref(out, **TINY)
    before = files(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        synthref.write_synthref(
            out, **TINY, seed=1, overwrite=True, track=interrupt
        )
    assert files(tmp_path) == before
    assert out.exists() == existing


# -- Command line. -----------------------------------------------------------


def run_tool(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', ['synthref', *map(str, arguments)])
    command.main()


def test_the_tool_says_what_it_wrote_or_that_it_is_there(
    monkeypatch, tmp_path, capsys
):
    small = ('--train', 3, '--val', 2, '--size', 32)
    run_tool(monkeypatch, tmp_path / 'out', *small)
    assert 'train: 3 images' in capsys.readouterr().out
    run_tool(monkeypatch, tmp_path / 'out', *small)
    assert 'already holds' in capsys.readouterr().out


def test_the_tool_names_a_bad_argument(monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run_tool(monkeypatch, tmp_path / 'out', '--size', 8)
    assert stop.value.code == 2
    assert 'size is 8, expected' in capsys.readouterr().err
