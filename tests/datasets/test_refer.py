import json
import logging
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdit.datasets import RefCOCODataset
from mmdit.datasets.reading.pickles import (
    UnsafePickleError,
    load_plain_pickle,
)
from mmdit.datasets.reading.refs import (
    find_refs,
    load_refs,
    load_split,
)
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask
from mmdit.registry import DATASETS

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets'


def edit_refs(root, change):
    path = root / 'refcoco' / 'refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    change(refs)
    path.write_bytes(pickle.dumps(refs, protocol=2))


def edit_instances(root, change):
    path = root / 'refcoco' / 'instances.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_of_any_protocol_is_read(tmp_path, protocol):
    content = [
        dict(a=1, b=2.5, c=None, d=True, e=2**70),
        ('x', {'y'}, frozenset('z'), OrderedDict(k=[1])),
    ]
    path = tmp_path / 'plain.p'
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    assert load_plain_pickle(path) == content


@pytest.mark.parametrize(
    ('written', 'expected'),
    [
        # str of Python 2, protocols 0 and 2, and its set
        (b"S'caf\\xc3\\xa9'\np0\n.", 'café'),
        (b'\x80\x02U\x05caf\xc3\xa9q\x00.', 'café'),
        (b'\x80\x02U\x04caf\xe9q\x00.', 'café'),
        (b"c__builtin__\nset\np0\n((lp1\nS'a'\np2\natp3\nRp4\n.", {'a'}),
        (b'L12L\n.', 12),
    ],
)
def test_python_2_pickles_are_read(tmp_path, written, expected):
    path = tmp_path / 'old.p'
    path.write_bytes(written)
    assert load_plain_pickle(path) == expected


@pytest.mark.parametrize(
    ('written', 'named'),
    [
        (b"cos\nsystem\n(S'touch pwned'\ntR.", r'os\.system'),
        (b"cbuiltins\neval\n(S'1'\ntR.", r'builtins\.eval'),
        (b"c__builtin__\ngetattr\n(S'1'\nS'2'\ntR.", r'__builtin__\.getattr'),
        (pickle.dumps(pytest.raises), 'raises'),
        # a dotted name could climb from a permitted one to anything
        (b'\x80\x04\x8c\x08builtins\x8c\x0cdict.__str__\x93.', 'dict.__str__'),
    ],
)
def test_a_pickle_that_refers_to_more_is_rejected(
    tmp_path, monkeypatch, written, named
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(written)
    with pytest.raises(UnsafePickleError, match=named) as error:
        load_plain_pickle(path)
    assert str(path) in str(error.value)
    assert 'Download it again' in str(error.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ['refs(unc).p']


def test_a_pickle_cut_anywhere_names_the_file(tiny_refer):
    path = tiny_refer / 'refcoco' / 'refs(unc).p'
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r'refs\(unc\)\.p is not a compl'):
            load_refs(path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'a': 1}, 'holds a dict, expected a list'),
        ([{'ref_id': 1}], 'entry 0 lacks ann_id, image_id, split, sentences'),
        (['text'], 'entry 0 lacks ref_id'),
    ],
)
def test_refs_of_another_format_are_rejected(tmp_path, content, message):
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=message):
        load_refs(path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"images": [', 'not complete JSON'),
        ('{"images": []}', 'not in COCO format'),
        ('[]', 'not in COCO format'),
        ('{"images": [{"name": 1}], "annotations": []}', 'not in COCO'),
    ],
)
def test_damaged_instances_name_the_file(tiny_refer, text, message):
    (tiny_refer / 'refcoco' / 'instances.json').write_text(text)
    with pytest.raises(ValueError, match=f'instances.json is .*{message}'):
        load_split(tiny_refer / 'refcoco', 'unc', 'val')


def test_missing_instances_say_what_to_do(tiny_refer):
    (tiny_refer / 'refcoco' / 'instances.json').unlink()
    with pytest.raises(FileNotFoundError, match='docs/prepare_data.md'):
        load_split(tiny_refer / 'refcoco', 'unc', 'val')


def test_missing_refs_list_those_that_exist(tiny_refer):
    message = r'refs\(umd\)\.p does not.*holds refs\(unc\)\.p: set split_by'
    with pytest.raises(FileNotFoundError, match=message):
        load_split(tiny_refer / 'refcoco', 'umd', 'val')


def test_unknown_split_lists_those_present(tiny_refer):
    with pytest.raises(ValueError, match="'test'; .* one of: train, val"):
        load_split(tiny_refer / 'refcoco', 'unc', 'test')


def test_refs_without_annotation_are_counted(tiny_refer):
    def lose(content):
        content['annotations'] = [
            ann for ann in content['annotations'] if ann['id'] != 100
        ]

    edit_instances(tiny_refer, lose)
    message = (
        r'no annotation in .*instances.json for 2 refs: '
        r'ref_id 10, 12; ann_id 100, 100; .* same download'
    )
    with pytest.raises(ValueError, match=message):
        load_split(tiny_refer / 'refcoco', 'unc', 'train')


def test_refs_without_image_are_counted(tiny_refer):
    edit_instances(tiny_refer, lambda content: content['images'].pop(0))
    message = 'no image in .* for 3 refs: ref_id 10, 11, 12; .* image_id 1, 1'
    with pytest.raises(ValueError, match=message):
        load_split(tiny_refer / 'refcoco', 'unc', 'train')


def test_annotation_of_another_image_is_rejected(tiny_refer):
    edit_refs(tiny_refer, lambda refs: refs[0].update(image_id=2))
    message = 'annotation of another image in .* for 1 refs: ref_id 10'
    with pytest.raises(ValueError, match=message):
        load_split(tiny_refer / 'refcoco', 'unc', 'train')


@pytest.mark.parametrize('text', ['', ' \t', None])
def test_an_empty_expression_names_the_way_out(tiny_refer, text):
    def blank(refs):
        refs[4]['sentences'][1]['sent'] = text

    edit_refs(tiny_refer, blank)
    folder = tiny_refer / 'refcoco'
    message = r'ref_id 14, sent_id 8 is empty .* skip_sent_ids=\[8\]'
    with pytest.raises(ValueError, match=message):
        load_split(folder, 'unc', 'val')
    kept = load_split(folder, 'unc', 'val', skip_sent_ids=[8])
    assert [len(ref.sentences) for ref in kept] == [1, 1]


def test_a_ref_without_sentences_is_left_out(tiny_refer):
    kept = load_split(tiny_refer / 'refcoco', 'unc', 'val', [9])
    assert [ref.ref_id for ref in kept] == [14]


def test_a_sentence_without_text_key_names_the_ref(tiny_refer):
    edit_refs(tiny_refer, lambda refs: refs[4]['sentences'][0].pop('sent'))
    with pytest.raises(ValueError, match="ref_id 14 lacks 'sent_id' or 'se"):
        load_split(tiny_refer / 'refcoco', 'unc', 'val')


def log_of(monkeypatch):
    """Collect what is logged."""
    logged = []
    monkeypatch.setattr(
        'mmdit.datasets.reading.refs.print_log',
        lambda message, **kwargs: logged.append((message, kwargs['level'])),
    )
    return logged


def test_refs_that_nobody_spoke_of_are_counted(tiny_refer, monkeypatch):
    logged = log_of(monkeypatch)
    edit_refs(tiny_refer, lambda refs: refs[4].update(sentences=[]))
    kept = load_split(tiny_refer / 'refcoco', 'unc', 'val')
    assert [ref.ref_id for ref in kept] == [15]
    [(message, level)] = logged
    assert 'refs(unc).p: 1 refs have no sentences' in message
    assert message.endswith('left out: ref_id 14')
    assert level == logging.WARNING


def test_refs_skipped_on_purpose_are_no_warning(tiny_refer, monkeypatch):
    logged = log_of(monkeypatch)
    load_split(tiny_refer / 'refcoco', 'unc', 'val', skip_sent_ids=[9])
    assert not logged


def test_lists_of_annotations_name_the_class_that_reads_them(tiny_refer):
    edit_refs(tiny_refer, lambda refs: refs[0].update(ann_id=[100, 101]))
    message = (
        r'ann_id in .*refs\(unc\)\.p holds lists .*gRefCOCO.*needs '
        r"type='GRefCOCODataset', as in configs/.*grefcoco_512x512\.py"
    )
    with pytest.raises(ValueError, match=message):
        load_split(tiny_refer / 'refcoco', 'unc', 'val')


def test_a_folder_of_grefs_names_the_class_that_reads_it(tiny_grefer):
    message = (
        r'refs\(unc\)\.p does not exist; .*grefcoco holds grefs\(unc\)\.json: '
        r"to read this format, set type='GRefCOCODataset'"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_split(tiny_grefer / 'grefcoco', 'unc', 'val')


def test_a_folder_of_refs_names_the_class_that_reads_it(tiny_refer):
    message = (
        r'grefs\(unc\)\.json does not exist; .* holds refs\(unc\)\.p: '
        r"to read this format, set type='RefCOCODataset'"
    )
    with pytest.raises(FileNotFoundError, match=message):
        load_split(tiny_refer / 'refcoco', 'unc', 'val', generalized=True)


def test_refcoco_named_as_grefs_is_rejected(tiny_refer):
    folder = tiny_refer / 'refcoco'
    (folder / 'refs(unc).p').rename(folder / 'grefs(unc).p')
    message = (
        r'ann_id in .*grefs\(unc\)\.p holds one annotation per ref '
        r"\(RefCOCO\), which needs type='RefCOCODataset'"
    )
    with pytest.raises(ValueError, match=message):
        load_split(folder, 'unc', 'val', generalized=True)


def test_missing_grefs_list_those_that_exist(tiny_grefer):
    message = r'holds grefs\(unc\)\.json: set split_by to the name'
    with pytest.raises(FileNotFoundError, match=message):
        load_split(tiny_grefer / 'grefcoco', 'umd', 'val', generalized=True)


def test_no_refs_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'holds no refs\(\*\) file'):
        load_refs(tmp_path / 'refs(unc).p')


def test_json_goes_before_pickle(tmp_path):
    for present in ('grefs(unc).p', 'grefs(unc).json'):
        (tmp_path / present).touch()
        assert find_refs(tmp_path, 'unc', True).name == present


def test_grefs_cut_short_name_the_file(tiny_grefer):
    path = tiny_grefer / 'grefcoco' / 'grefs(unc).json'
    path.write_text(path.read_text()[:-20])
    with pytest.raises(ValueError, match=r'grefs\(unc\)\.json is not compl'):
        load_split(path.parent, 'unc', 'val', generalized=True)


@pytest.mark.parametrize(
    ('name', 'folder', 'refs'),
    [
        ('refcoco', 'refcoco', 'refs(unc).p'),
        ('refcoco+', 'refcoco+', 'refs(unc).p'),
        ('refcocog-umd', 'refcocog', 'refs(umd).p'),
        ('refcocog-google', 'refcocog', 'refs(google).p'),
        ('refclef-unc', 'refclef', 'refs(unc).p'),
        ('grefcoco', 'grefcoco', 'grefs(unc).json'),
    ],
)
@pytest.mark.parametrize('loader', ['train', 'val', 'test'])
def test_configs_name_their_files(name, folder, refs, loader):
    cfg = Config.fromfile(CONFIGS / f'{name}_512x512.py')
    cfg = cfg[f'{loader}_dataloader'].dataset
    cfg.update(type=f'mmdit.{cfg.type}', pipeline=[], lazy_init=True)
    dataset = DATASETS.build(cfg)
    assert dataset.split == ('train' if loader == 'train' else 'val')
    assert dataset.test_mode == (loader != 'train')
    path = f'data/refer/{folder}'
    assert find_refs(path, dataset.split_by, dataset.GENERALIZED) == (
        Path(path) / refs
    )
    assert dataset.name == folder


@pytest.mark.parametrize('place', ['http://127.0.0.1:9/a.png', '/etc/a.png'])
def test_a_path_in_place_of_a_mask_is_not_opened(tiny_refer, place):
    path = tiny_refer / 'refcoco/instances.json'
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        annotation['segmentation'] = place
    path.write_text(json.dumps(content))
    dataset = RefCOCODataset(
        data_root=str(tiny_refer),
        pipeline=[LoadReferImage(), LoadReferMask()],
    )
    with pytest.raises(ValueError, match=f'it holds "{place}", expected'):
        dataset[0]
