import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from mmdit.datasets.checking import (
    KINDS,
    PUBLIC_COUNTS,
    Counts,
    SetReport,
    check_set,
    find_leaks,
    find_sets,
)
from mmdit.datasets.checking.items import Job, run

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


def write_set(root, dataset='refcoco', split_by='unc', refs=None):
    """Write a sound set of two images, one for training, one held out."""
    folder = root / 'images' / 'train2014'
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number in (1, 2):
        name = f'{number}.jpg'
        Image.new('RGB', (60, 40)).save(folder / name)
        images.append(dict(id=number, file_name=name, width=60, height=40))
    annotations = [
        dict(id=10 * image + n, image_id=image, segmentation=[list(SQUARE)])
        for image in (1, 2)
        for n in (0, 1)
    ]
    if refs is None:
        refs = [ref(1, 10, 1, 'train'), ref(2, 20, 2, 'val')]
    (root / dataset).mkdir()
    content = dict(images=images, annotations=annotations)
    (root / dataset / 'instances.json').write_text(json.dumps(content))
    path = root / dataset / f'refs({split_by}).p'
    if dataset == 'grefcoco':
        path.with_name(f'grefs({split_by}).json').write_text(json.dumps(refs))
    else:
        path.write_bytes(pickle.dumps(refs, protocol=2))
    return root


def ref(ref_id, ann_id, image_id, split, **changes):
    sentence = dict(sent_id=ref_id, sent='a box', raw='a box')
    return dict(
        ref_id=ref_id,
        ann_id=ann_id,
        image_id=image_id,
        split=split,
        sentences=[sentence],
    ) | dict(changes)


def edit_refs(root, change):
    path = root / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    change(refs)
    path.write_bytes(pickle.dumps(refs, protocol=2))


def edit_instances(root, change, dataset='refcoco'):
    path = root / dataset / 'instances.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def set_mask(ann_id, segmentation):
    def change(content):
        (annotation,) = [
            a for a in content['annotations'] if a['id'] == ann_id
        ]
        annotation['segmentation'] = segmentation

    return lambda root: edit_instances(root, change)


def set_ref(**changes):
    return lambda root: edit_refs(root, lambda refs: refs[0].update(changes))


def set_sentence(**changes):
    return lambda root: edit_refs(
        root, lambda refs: refs[0]['sentences'][0].update(changes)
    )


def image(root, number=1):
    return root / 'images' / 'train2014' / f'{number}.jpg'


@pytest.fixture
def sound(tmp_path):
    return write_set(tmp_path)


def test_a_sound_set_is_usable_and_counted(sound):
    report = check_set(sound, 'refcoco', 'unc')
    assert report.problems == {}
    assert report.counts == dict(
        train=Counts(1, 1, 1), val=Counts(1, 1, 1), all=Counts(2, 2, 2)
    )
    assert not report.broken
    assert report.verdict == (
        'refcoco (unc): usable, not the full set (2 of 50,000 refs)'
    )


@pytest.mark.parametrize(
    ('damage', 'kind', 'case'),
    [
        (set_ref(ann_id=99), 'refs without annotation', 'ann_id 99'),
        (set_ref(image_id=9), 'refs without image entry', 'image_id 9'),
        (
            set_ref(ann_id=20),
            "refs with another image's annotation",
            'ann_id 20 is of image_id 2, not 1',
        ),
        (set_ref(sentences=None), 'malformed refs', 'ref_id 1: sentences'),
        (
            set_ref(image_id=[1]),
            'malformed refs',
            'ref_id 1: image_id is [1], expected',
        ),
        (
            set_ref(sentences=['x']),
            'malformed refs',
            'a sentence of ref_id 1 lacks',
        ),
        (set_sentence(sent=' '), 'empty expressions', 'sent_id 1 of ref_id 1'),
        (lambda root: image(root).unlink(), 'missing images', '1.jpg'),
        (
            lambda root: image(root).write_bytes(b'no image'),
            'unreadable images',
            '1.jpg',
        ),
        (
            lambda root: Image.new('RGB', (40, 60)).save(image(root)),
            'images of another size',
            '40x60, annotated as 60x40',
        ),
        (set_mask(10, []), 'empty masks', 'ann_id 10'),
        (set_mask(10, [SQUARE[:4]]), 'empty masks', 'ann_id 10'),
        (set_mask(10, None), 'undrawable masks', 'ann_id 10'),
        (
            set_mask(10, dict(size=[60, 40], counts=[2400])),
            'undrawable masks',
            'RLE of size [60, 40]',
        ),
        (
            set_mask(10, [[0, 0, float('nan'), 0, 9, 9]]),
            'undrawable masks',
            'NaN',
        ),
        (
            set_mask(10, [[10, 10, 1e9, 10, 10, 30]]),
            'undrawable masks',
            'reaches beyond 100000 pixels',
        ),
    ],
)
def test_damage_is_named_and_breaks_the_set(sound, damage, kind, case):
    damage(sound)
    report = check_set(sound, 'refcoco', 'unc')
    # A polygon that leaves an empty mask may be short, too.
    assert set(report.problems) <= {kind, 'short polygons'}
    assert case in report.problems[kind][0]
    assert report.broken
    assert f'BROKEN: {kind} (1)' in report.verdict


@pytest.mark.parametrize(
    ('damage', 'kind', 'case'),
    [
        (set_sentence(sent_id=2), 'duplicated sent_ids', 'sent_id 2, 2 times'),
        (set_ref(sentences=[]), 'refs without sentences', 'ref_id 1'),
        (set_mask(10, [SQUARE, [1, 2]]), 'short polygons', '1 of 2 parts'),
        (
            set_mask(10, [[10, -20, 30, 10, 10, 30]]),
            'polygons outside',
            'leave the image by over a tenth',
        ),
        (
            set_ref(image_id=2, ann_id=21),
            'images in train and another split',
            '2.jpg in val',
        ),
    ],
)
def test_a_flaw_is_named_but_leaves_the_set_usable(sound, damage, kind, case):
    damage(sound)
    report = check_set(sound, 'refcoco', 'unc')
    assert case in report.problems[kind][0]
    assert not report.broken
    assert report.verdict.endswith(f'; but {kind} (1)')


def test_all_problems_are_collected(sound):
    set_sentence(sent='')(sound)
    set_mask(20, [])(sound)
    image(sound, 1).unlink()
    image(sound, 2).unlink()
    report = check_set(sound, 'refcoco', 'unc')
    assert report.verdict == (
        'refcoco (unc): BROKEN: empty expressions (1), missing images (2), '
        'empty masks (1)'
    )


def test_rounding_beyond_the_border_is_no_problem(sound):
    set_mask(10, [[0, 5, 60.5, 5, 60.5, 41, -0.5, 41]])(sound)
    assert check_set(sound, 'refcoco', 'unc').problems == {}


def test_files_that_cannot_be_read_are_reported(sound):
    (sound / 'refcoco' / 'refs(unc).p').write_bytes(pickle.dumps(os.getcwd))
    report = check_set(sound, 'refcoco', 'unc')
    assert 'getcwd' in report.problems['unreadable files'][0]
    assert report.broken
    report = check_set(sound, 'refcocog', 'umd')
    assert 'does not exist' in report.problems['unreadable files'][0]


def test_what_is_skipped_is_said(sound):
    image(sound).unlink()
    set_mask(10, [])(sound)
    report = check_set(
        sound, 'refcoco', 'unc', skip_images=True, skip_masks=True
    )
    assert report.problems == {}
    assert report.verdict.endswith('; images and masks not checked')


def test_images_may_lie_elsewhere(sound, tmp_path):
    elsewhere = tmp_path / 'elsewhere'
    (sound / 'images' / 'train2014').rename(elsewhere)
    assert check_set(sound, 'refcoco', 'unc').broken
    report = check_set(sound, 'refcoco', 'unc', image_folder=elsewhere)
    assert not report.broken


def test_every_image_and_mask_is_tracked(sound):
    seen = []

    def track(items, total, description):
        seen.append((total, description))
        return items

    check_set(sound, 'refcoco', 'unc', workers=2, track=track)
    assert seen == [(2, 'refcoco (unc): images and masks')]


def test_shared_images_of_the_google_split_are_known(tmp_path):
    refs = [ref(1, 10, 1, 'train'), ref(2, 11, 1, 'val')]
    write_set(tmp_path, 'refcocog', 'google', refs)
    report = check_set(tmp_path, 'refcocog', 'google')
    kind = 'images in train and another split (known)'
    assert report.problems == {kind: ['1.jpg in val']}
    assert KINDS[kind][0] == 'note'
    assert 'but' not in report.verdict


def grefcoco(root, refs):
    write_set(root, 'grefcoco', 'unc', refs)
    return check_set(root, 'grefcoco', 'unc')


def test_grefcoco_may_name_several_things_or_none(tmp_path):
    refs = [
        ref(1, [10, 11], 1, 'train', no_target=False),
        ref(2, [-1], 2, 'val', no_target=True),
    ]
    report = grefcoco(tmp_path, refs)
    assert report.problems == {}
    assert report.verdict == (
        'grefcoco (unc): usable, not the full set (2 of 259,859 sentences)'
    )


def test_grefcoco_that_contradicts_itself_is_malformed(tmp_path):
    report = grefcoco(tmp_path, [ref(1, [10], 1, 'val', no_target=True)])
    assert 'no_target true' in report.problems['malformed refs'][0]


def test_one_empty_part_leaves_the_union(tmp_path):
    refs = [ref(1, [10, 11], 1, 'train', no_target=False)]
    write_set(tmp_path, 'grefcoco', 'unc', refs)

    def empty_one(content):
        content['annotations'][0]['segmentation'] = []

    edit_instances(tmp_path, empty_one, 'grefcoco')
    report = check_set(tmp_path, 'grefcoco', 'unc')
    assert report.problems == {'empty parts': ['ann_id 10: 0 of 60x40 pixels']}
    assert not report.broken


def test_ann_ids_may_be_strings_as_in_refclef(tmp_path):
    write_set(tmp_path, 'refclef', 'unc', [ref(1, '1_1', 1, 'train')])
    rle = dict(size=[40, 60], counts=[0, 100, 2300])

    def rename(content):
        content['annotations'][0].update(id='1_1', segmentation=[rle])

    edit_instances(tmp_path, rename, 'refclef')
    folder = tmp_path / 'images' / 'train2014'
    report = check_set(tmp_path, 'refclef', 'unc', image_folder=folder)
    assert report.problems == {}


def test_leaks_between_data_sets_are_counted(tmp_path):
    write_set(tmp_path, 'refcoco')
    refs = [ref(1, 20, 2, 'train'), ref(2, 10, 1, 'testA')]
    write_set(tmp_path, 'refcoco+', 'unc', refs)
    sets = find_sets(tmp_path)
    assert sets == [('refcoco', 'unc'), ('refcoco+', 'unc')]
    leaks = find_leaks([check_set(tmp_path, *one) for one in sets])
    assert [tuple(leak) for leak in leaks] == [
        ('refcoco (unc)', 'refcoco+ (unc)', 1, 1),
        ('refcoco+ (unc)', 'refcoco (unc)', 1, 1),
    ]


def test_sets_are_found_or_taken_as_asked(tmp_path):
    assert find_sets(tmp_path) == []
    write_set(tmp_path, 'refcocog', 'google')
    (tmp_path / 'refcocog' / 'refs(umd).p').touch()
    (tmp_path / 'refcocog' / 'refs(unc).p.part').touch()
    write_set(tmp_path, 'grefcoco', 'unc', [])
    found = [('refcocog', 'google'), ('refcocog', 'umd'), ('grefcoco', 'unc')]
    assert find_sets(tmp_path) == found
    assert find_sets(tmp_path, [], ['umd']) == [('refcocog', 'umd')]
    # What is named is checked even where it is missing.
    assert find_sets(tmp_path, ['refcoco']) == [('refcoco', 'unc')]
    assert find_sets(tmp_path, ['refcocog'], ['unc']) == [('refcocog', 'unc')]


@pytest.mark.parametrize('key', PUBLIC_COUNTS)
def test_the_public_numbers_make_a_complete_set(key):
    report = SetReport(*key, counts=dict(PUBLIC_COUNTS[key]))
    report.counts.setdefault('all', Counts(1, 1, 1))
    assert report.verdict == f'{report.name}: OK, complete'


@pytest.mark.parametrize(
    'key', [('refcoco', 'unc'), ('refcoco+', 'unc'), ('refcocog', 'umd')]
)
def test_the_public_numbers_add_up(key):
    splits = dict(PUBLIC_COUNTS[key])
    whole = splits.pop('all')
    # Images add up because these splits share none.
    assert np.sum(list(splits.values()), axis=0).tolist() == list(whole)


def die(job):
    os._exit(1)


def test_a_crash_is_reported():
    jobs = [Job(['image_id 10'], None, (1, 1), [])] * 100
    [([finding], _)] = run(die, jobs, 1, lambda items, *_: items, '')
    assert finding.where == 'image_id 10'
    assert 'died here or shortly after; the last 100' in finding.case


def test_real_data_is_usable(refer_mini):
    for dataset, split_by in find_sets(refer_mini):
        report = check_set(refer_mini, dataset, split_by)
        assert report.problems == {}
        assert 'usable, not the full set' in report.verdict
