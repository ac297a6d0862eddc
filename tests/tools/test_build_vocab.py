"""tools/dataset_converters/build_vocab.py, with data of one's own."""

import json

import pytest

SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
TOOL = 'dataset_converters/build_vocab.py'
SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


def write_rows(path, expressions):
    row = dict(image='a.png', mask=SQUARE)
    rows = [dict(row, expression=text) for text in expressions]
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_words_of_json_lines_by_frequency(run_tool, tmp_path):
    write_rows(tmp_path / 'own.jsonl', ['Red cup', 'the red cup', 'red, left'])
    arguments = ('own.jsonl', 'made/vocab.txt')
    printed = run_tool(TOOL, tmp_path, *arguments)
    assert '5 of 5 words of 3 expressions' in printed
    words = (tmp_path / 'made/vocab.txt').read_text().splitlines()
    assert words == [*SPECIAL, 'red', 'cup', ',', 'left', 'the']


def test_broken_rows_stop_it(run_tool, tmp_path):
    (tmp_path / 'own.jsonl').write_text('{"image": "a.png"}\n')
    with pytest.raises(
        SystemExit, match='own.jsonl has broken rows; check it'
    ):
        run_tool(TOOL, tmp_path, 'own.jsonl', 'v.txt')
    assert not (tmp_path / 'v.txt').exists()
