import json
import pickle
from collections import OrderedDict

import pytest

from mmdit.datasets.refer import (
    UnsafePickleError,
    load_plain_pickle,
    load_refs,
    load_split,
)


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
    ('written', 'asked'),
    [
        (b"cos\nsystem\n(S'touch pwned'\ntR.", r'os\.system'),
        (b"cbuiltins\neval\n(S'1'\ntR.", r'builtins\.eval'),
        (b"c__builtin__\ngetattr\n(S'1'\nS'2'\ntR.", r'__builtin__\.getattr'),
        (pickle.dumps(pytest.raises), 'raises'),
        # a dotted name could climb from a permitted one to anything
        (b'\x80\x04\x8c\x08builtins\x8c\x0cdict.__str__\x93.', 'dict.__str__'),
    ],
)
def test_a_pickle_that_asks_for_more_is_refused(
    tmp_path, monkeypatch, written, asked
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'refs(unc).p'
    path.write_bytes(written)
    with pytest.raises(UnsafePickleError, match=asked) as error:
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
def test_refs_of_another_format_are_refused(tmp_path, content, message):
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


def test_annotation_of_another_image_is_refused(tiny_refer):
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
