"""What SynthRef's expressions mean, read without the generator's code."""

import json
import math
import pickle
import re

import pytest

from mmdit.datasets import synthref

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


@pytest.fixture(scope='module', params=list(synthref.LEVELS))
def written(tmp_path_factory, request):
    """Vocabulary and (expression, objects, index) of a data set."""
    root = tmp_path_factory.mktemp('synthref') / 'data'
    counts = dict(easy=150, crowded=120)
    synthref.write_synthref(
        root, train=counts[request.param], val=0, level=request.param
    )
    instances = json.loads((root / 'refcoco/instances.json').read_text())
    refs = pickle.loads((root / 'refcoco/refs(unc).p').read_bytes())
    of_image: dict[int, list[dict]] = {}
    for annotation in instances['annotations']:
        of_image.setdefault(annotation['image_id'], []).append(annotation)
    told = []
    for ref in refs:
        annotations = of_image[ref['image_id']]
        index = [a['id'] for a in annotations].index(ref['ann_id'])
        objects = [a['attributes'] for a in annotations]
        told += [(s['sent'], objects, index) for s in ref['sentences']]
    return request.param, (root / 'vocab.txt').read_text().split(), refs, told


@pytest.fixture
def told(written):
    """Return (expression, objects, index of the referent)."""
    return written[3]


# -- What the expressions mean. ----------------------------------------------


@pytest.mark.parametrize('slack', [-0.1, 0.0, 0.045])
def test_every_expression_means_its_referent_only(told, slack):
    assert len(told) > 500
    for expression, objects, index in told:
        form, meant = interpret(expression, objects, max(slack, 0.0))
        assert meant == [index], (expression, objects)
        if form not in ('closest', 'furthest', 'extreme', 'middle'):
            _, meant = interpret(expression, objects, slack)
            assert meant == [index], (expression, objects)


def test_a_flip_only_has_to_swap_left_and_right(told):
    swap = {'left': 'right', 'right': 'left'}
    for expression, objects, index in told:
        flipped = [
            {**obj, 'center': [1 - obj['center'][0], obj['center'][1]]}
            for obj in objects
        ]
        words = ' '.join(swap.get(w, w) for w in expression.split())
        assert interpret(words, flipped, 0.01)[1] == [index], words


# Least shares of attribute, position and relation.
SHARES = dict(easy=(0.4, 0.3, 0.05), crowded=(0.25, 0.25, 0.25))


def test_all_forms_and_kinds_occur_in_fair_shares(written):
    level, _, _, told = written
    forms = [interpret(e, objects)[0] for e, objects, _ in told]
    assert set(forms) == set(PATTERNS)
    kinds = [
        'relation'
        if form in ('beside', 'beyond', 'closest')
        else 'attribute'
        if form == 'plain'
        else 'position'
        for form in forms
    ]
    for kind, least in zip(synthref.KINDS, SHARES[level], strict=True):
        assert least < kinds.count(kind) / len(kinds) < least + 0.2


def test_the_noun_phrase_alone_is_never_enough(told):
    for expression, objects, _ in told:
        text = ' '.join(w for w in expression.split() if w != 'the')
        form = interpret(expression, objects)[0]
        if form != 'plain':
            phrase = re.fullmatch(PATTERNS[form], text)['np']
            assert len(matching(phrase, objects)) > 1, expression


def test_each_image_has_two_referents_and_no_shared_expression(written):
    _, _, refs, _ = written
    by_image: dict[int, list[dict]] = {}
    for ref in refs:
        by_image.setdefault(ref['image_id'], []).append(ref)
    assert len(by_image) in (150, 120)
    for of_image in by_image.values():
        assert len({ref['ann_id'] for ref in of_image}) == len(of_image) >= 2
        said = [s['sent'] for ref in of_image for s in ref['sentences']]
        assert len(set(said)) == len(said)


def test_vocabulary_covers_the_expressions_which_fit_20_tokens(written):
    _, words, _, told = written
    assert words[:5] == ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    assert words[5:] == sorted(set(words[5:]))
    for expression, _, _ in told:
        assert set(expression.split()) <= set(words[5:])
        assert len(expression.split()) <= 14
