"""SynthRef: formats, truth of the expressions, determinism, refusals."""

import dataclasses
import io
import itertools
import json
import math
import pickle
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mmdit.datasets import synthref

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/synthref.py'
ARGUMENTS = dict(train=80, val=40, size=64, seed=5)

# -- An interpreter of the expressions, independent of the generator. --------

VALUES = {
    'shape': ['circle', 'square', 'triangle', 'star', 'cross'],
    'texture': ['plain', 'striped', 'dotted'],
    'size': ['small', 'large'],
    'color': ['red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple'],
}
LOOKS = {word: key for key, words in VALUES.items() for word in words}
TOWARDS = {
    **dict.fromkeys(['left'], (-1, 0)),
    **dict.fromkeys(['right'], (1, 0)),
    **dict.fromkeys(['top', 'above', 'highest'], (0, -1)),
    **dict.fromkeys(['bottom', 'below', 'under', 'lowest'], (0, 1)),
}
# Matched in this order, after every 'the' is gone.
PATTERNS = {
    'beside': r'(?P<np>.+?) (to )?(?P<way>left|right) of (?P<mark>.+)',
    'beyond': r'(?P<np>.+) (?P<way>above|below|under) (?P<mark>.+)',
    'closest': r'(?P<np>.+) closest to (?P<mark>.+)',
    'corner': r'(?P<np>.+) (at|in) (?P<way>\w+) (?P<way2>left|right)'
    r'( corner)?',
    'middle': r'(?P<np>.+) in middle',
    'side': r'(?P<np>.+) (on|at) (?P<way>\w+)( side)?',
    'furthest': r'(?P<np>.+) furthest (to )?(?P<way>left|right)',
    'extreme': r'(?P<way>highest|lowest) (?P<np>.+)',
    'adjective': r'(?P<way>left|right|top|bottom) (?P<np>.+)',
    'plain': r'(?P<np>.+)',
}


def matching(phrase: str, objects: list[dict]) -> list[int]:
    """Return which objects a noun phrase fits."""
    *modifiers, noun = phrase.split()
    words = ['large' if word == 'big' else word for word in modifiers]
    if noun not in ('object', 'thing'):
        assert LOOKS[noun] == 'shape'
        words.append(noun)
    return [
        i
        for i, obj in enumerate(objects)
        if all(obj[LOOKS[word]] == word for word in words)
    ]


def along(way: str, obj: dict, origin=(0.5, 0.5)) -> float:
    return sum(
        t * (c - o)
        for t, c, o in zip(TOWARDS[way], obj['center'], origin, strict=True)
    )


def interpret(expression: str, objects: list[dict], slack: float = 0.0):
    """Return (form, indices): which objects the expression may mean.

    A positive slack reads it generously, a negative one narrowly.
    """
    text = ' '.join(w for w in expression.split() if w != 'the')
    for form, pattern in PATTERNS.items():  # noqa: B007
        match = re.fullmatch(pattern, text)
        if match:
            break
    said = match.groupdict()
    fits = matching(said['np'], objects)
    if form in ('beside', 'beyond', 'closest'):
        marks = matching(said['mark'], objects)
        assert len(marks) == 1, f'{expression!r}: not one landmark'
        center = objects[marks[0]]['center']
        fits = [i for i in fits if i != marks[0]]
        score = {
            i: -math.dist(objects[i]['center'], center)
            if form == 'closest'
            else along(said['way'], objects[i], center)
            for i in fits
        }
    elif form == 'middle':
        score = {
            i: 0.2 - max(abs(c - 0.5) for c in objects[i]['center'])
            for i in fits
        }
    elif form == 'corner':
        ways = said['way'], said['way2']
        score = {i: min(along(w, objects[i]) for w in ways) for i in fits}
    elif form == 'plain':
        return form, fits
    else:
        score = {i: along(said['way'], objects[i]) for i in fits}
    limit = 0.0
    if form in ('closest', 'furthest', 'extreme'):
        limit = max(score.values())
    return form, [i for i in fits if score[i] >= limit - slack]


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

    def referred(self):
        """Yield (expression, the image's attributes, the ref's index)."""
        for ref in self.refs:
            of_image = [
                annotation
                for annotation in self.instances['annotations']
                if annotation['image_id'] == ref['image_id']
            ]
            index = [a['id'] for a in of_image].index(ref['ann_id'])
            for sentence in ref['sentences']:
                yield (
                    sentence['sent'],
                    [a['attributes'] for a in of_image],
                    index,
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


# -- What the expressions mean. ----------------------------------------------


@pytest.mark.parametrize('slack', [-0.1, 0.0, 0.045])
def test_every_expression_means_its_referent_only(written, slack):
    told = list(written.referred())
    assert len(told) > 500
    for expression, objects, index in told:
        form, meant = interpret(expression, objects, max(slack, 0.0))
        assert meant == [index], (expression, objects)
        if form not in ('closest', 'furthest', 'extreme', 'middle'):
            _, meant = interpret(expression, objects, slack)
            assert meant == [index], (expression, objects)


def test_a_flip_only_has_to_swap_left_and_right(written):
    swap = {'left': 'right', 'right': 'left'}
    for expression, objects, index in written.referred():
        flipped = [
            {**obj, 'center': [1 - obj['center'][0], obj['center'][1]]}
            for obj in objects
        ]
        words = ' '.join(swap.get(w, w) for w in expression.split())
        assert interpret(words, flipped, 0.01)[1] == [index], words


def test_all_forms_and_kinds_occur_in_fair_shares(written):
    forms = [interpret(e, objects)[0] for e, objects, _ in written.referred()]
    assert set(forms) == set(PATTERNS)
    kinds = [
        'relation'
        if form in ('beside', 'beyond', 'closest')
        else 'attribute'
        if form == 'plain'
        else 'position'
        for form in forms
    ]
    for kind in synthref.KINDS:
        assert 0.25 < kinds.count(kind) / len(kinds) < 0.45


def test_the_noun_phrase_alone_is_never_enough(written):
    for expression, objects, _ in written.referred():
        text = ' '.join(w for w in expression.split() if w != 'the')
        form = interpret(expression, objects)[0]
        if form != 'plain':
            phrase = re.fullmatch(PATTERNS[form], text)['np']
            assert len(matching(phrase, objects)) > 1, expression


def test_each_image_has_two_referents_and_no_shared_expression(written):
    by_image: dict[int, list[dict]] = {}
    for ref in written.refs:
        by_image.setdefault(ref['image_id'], []).append(ref)
    assert by_image.keys() == {i['id'] for i in written.instances['images']}
    for refs in by_image.values():
        assert len({ref['ann_id'] for ref in refs}) == len(refs) >= 2
        said = [s['sent'] for ref in refs for s in ref['sentences']]
        assert len(set(said)) == len(said)


def test_vocabulary_covers_the_expressions_which_fit_20_tokens(written):
    words = (written.root / 'vocab.txt').read_text().splitlines()
    assert words[:5] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    assert words[5:] == sorted(set(words[5:]))
    for expression, _, _ in written.referred():
        assert set(expression.split()) <= set(words[5:])
        assert len(expression.split()) <= 14


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
        assert mask.sum() == pytest.approx(annotation['area'], rel=0.15)
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
    for shape in VALUES['shape']:
        images = {
            texture: paint_alone(
                synthref.SceneObject(
                    shape, 'orange', 'small', texture, (0.5, 0.5), 0.085
                ),
                64,
            )
            for texture in VALUES['texture']
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


# -- Refusals. ---------------------------------------------------------------

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
    ],
)
def test_bad_arguments_are_named(tmp_path, bad, message):
    with pytest.raises(ValueError, match=message):
        synthref.write_synthref(tmp_path / 'out', **{**TINY, **bad})
    assert not list(tmp_path.iterdir())


def test_a_fraction_is_refused(tmp_path):
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
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


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
