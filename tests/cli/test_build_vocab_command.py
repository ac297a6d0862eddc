"""``mmdit build-vocab``, with data of one's own."""

import json

SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
SQUARE = [[0, 0, 4, 0, 4, 4, 0, 4]]


def write_rows(path, expressions):
    row = dict(image='a.png', mask=SQUARE)
    rows = [dict(row, expression=text) for text in expressions]
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_words_of_json_lines_by_frequency(mmdit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / 'own.jsonl', ['Red cup', 'the red cup', 'red, left'])
    result = mmdit('build-vocab', 'own.jsonl', 'made/vocab.txt')
    assert '5 of 5 words of 3 expressions' in result.stdout
    words = (tmp_path / 'made/vocab.txt').read_text().splitlines()
    assert words == [*SPECIAL, 'red', 'cup', ',', 'left', 'the']


def test_broken_rows_stop_it(mmdit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own.jsonl').write_text('{"image": "a.png"}\n')
    result = mmdit('build-vocab', 'own.jsonl', 'v.txt')
    assert result.returncode == 1
    assert 'own.jsonl has broken rows; check it' in result.stderr
    assert not (tmp_path / 'v.txt').exists()
