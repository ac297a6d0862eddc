"""configs/dit/README.md keeps in step with the configs and the paper."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdit.evaluation.tables import read_paper
from mmdit.models.complexity import build_fake, count_config

ROOT = Path(__file__).parents[1]
ZOO = ROOT / 'configs' / 'dit'
REFERENCE = ROOT.parent / 'shared' / 'REFERENCE.md'
CONFIGS = sorted(path.name for path in ZOO.glob('*.py'))
LINK = re.compile(r'\[(.+)\]\((.+)\)')


def parse_tables(text):
    """Return each markdown table as a list of rows, dicts by column."""
    tables, header = [], None
    for line in text.splitlines():
        if not line.startswith('|'):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if header is None:
            header = cells
            tables.append([])
        elif set(cells[0]) != {'-'}:
            tables[-1].append(dict(zip(header, cells, strict=True)))
    return tables


TABLES = parse_tables((ZOO / 'README.md').read_text(encoding='utf-8'))
# (name, file, cells) of the rows that link to configs
ROWS = [
    (*LINK.fullmatch(row['config']).groups(), row)
    for table in TABLES
    for row in table
    if LINK.fullmatch(row.get('config', ''))
]


# One of each kind: a count takes seconds.
COUNTED = 'edit-token', 'ldit-cross-ffn', 'windowed', 'late text'


def test_every_config_has_one_row_and_every_row_its_config():
    assert sorted(file for _, file, _ in ROWS) == CONFIGS


@cache
def sizes(model):
    """Return the number of all parameters of a model, and of those that train.

    Rows that differ in data or schedule have the same.
    """
    with build_fake(json.loads(model)) as model:
        numbers = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, _ in numbers), sum(
        n for n, trains in numbers if trains
    )


@pytest.mark.parametrize(
    ('name', 'file', 'row'), ROWS, ids=[name for name, *_ in ROWS]
)
def test_sizes_are_those_of_the_config(name, file, row):
    cfg = Config.fromfile(ZOO / file)
    init_default_scope(cfg.default_scope)
    if name in COUNTED:
        flops = count_config(cfg.model).total_flops
        assert row['GFLOPs'] == f'{flops / 1e9:.1f}'
    total, trainable = sizes(json.dumps(cfg.model))
    assert row['parameters'] == f'{total / 1e6:.1f}'
    assert row['trainable'] == f'{trainable / 1e6:.1f}'


def test_sizes_are_at_512_px_and_20_tokens():
    for file in CONFIGS:
        model = Config.fromfile(ZOO / file).model
        assert tuple(model.data_preprocessor.size) == (512, 512), file
        assert model.text_encoder.max_tokens == 20, file


@pytest.fixture(scope='module')
def sections():
    """What is published of the method, in numbered sections."""
    if not REFERENCE.is_file():
        pytest.skip(f"the paper's numbers ({REFERENCE}) are not here")
    return re.split(r'^## \d+\.', REFERENCE.read_text('utf-8'), flags=re.M)


@pytest.fixture(scope='module')
def reference(sections):
    return sections[7]


def column(scores, *names):
    """Join some scores of one split as the model zoo does."""
    order = ['P@.5', 'P@.7', 'P@.9', 'oIoU', 'mIoU']
    return ' / '.join(scores[order.index(name)] for name in names)


def test_refcoco_rows_are_the_papers(reference):
    (rows,) = parse_tables(reference)
    paper = {}
    for name, *splits in (row.values() for row in rows):
        paper[name.replace('*', r'\*')] = [cell.split() for cell in splits]
    with_link = [row for *_, row in ROWS if 'in the paper' in row]
    precisions = {
        row['config']: row
        for table in TABLES
        for row in table
        if 'paper: testA' in row
    }
    assert sorted(row['in the paper'] for row in with_link) == sorted(paper)
    assert len(precisions) == len(with_link)
    for row in with_link:
        splits = paper[row['in the paper']]
        for score in ('oIoU', 'mIoU'):
            expected = ' / '.join(column(split, score) for split in splits)
            assert row[f'paper: {score}'] == expected, row
        precision = precisions[LINK.fullmatch(row['config'])[1]]
        for name, split in zip(('val', 'testA', 'testB'), splits, strict=True):
            expected = column(split, 'P@.5', 'P@.7', 'P@.9')
            assert precision[f'paper: {name}'] == expected, precision


def sets_of(reference, pattern):
    """Scores of RefCOCO, RefCOCO+ and RefCOCOg after the pattern."""
    text = ' '.join(reference.split())
    scores = re.search(pattern + r' ([\d./, ]+)[;.]', text)[1]
    sets = [group.strip().replace('/', ' / ') for group in scores.split(',')]
    return dict(zip(('RefCOCO', 'RefCOCO+', 'RefCOCOg'), sets, strict=True))


def test_rows_of_other_data_are_the_papers(reference):
    rows = {name: row for name, _, row in ROWS}
    for encoder in ('ViT-B', 'ViT-H'):
        for name, scores in sets_of(reference, f'L-DIT {encoder}').items():
            if (encoder, name) == ('ViT-B', 'RefCOCO'):
                row = rows['ldit']
            else:
                row = rows[f'{encoder}, {name}']
            assert row['paper: oIoU'] == scores, row
    joint = sets_of(reference, r'mIoU\):')
    expected = '; '.join(' '.join(item) for item in joint.items())
    assert rows['ViT-B, all three']['authors: mIoU'] == expected


def test_published_files_are_those_of_the_authors(sections):
    (published,) = (t for t in TABLES if 'file on Google Drive' in t[0])
    (expected,) = parse_tables(sections[9])
    for row, (_, number, scores) in zip(
        published, map(dict.values, expected), strict=True
    ):
        name, link = LINK.fullmatch(row['file on Google Drive']).groups()
        assert name == number
        assert link == f'https://drive.google.com/file/d/{number}/view'
        assert row['reported by the authors'] == scores


def test_the_file_of_the_papers_numbers_has_those_of_the_tables():
    compared = 0
    for _, file, row in ROWS:
        of_config = re.search(r'refcoco[+g]?', file)
        for (dataset, split), scores in read_paper(file).items():
            if 'joint' in file or not of_config or of_config[0] != dataset:
                continue
            splits = row.get('splits', 'val / testA / testB').split(' / ')
            place = splits.index(split)
            for name in ('oIoU', 'mIoU'):
                cell = row.get(f'paper: {name}')
                if cell is not None:
                    assert scores[name] == float(cell.split(' / ')[place])
                    compared += 1
    assert compared == 16 * 3 * 2 + 3 * 3 + 2 * 2
    assert read_paper('ldit_sam-vit-b_4xb16-40e_refcoco-joint-512x512')[
        ('refcocog', 'test')
    ] == dict(mIoU=69.9)
    # The paper splits RefCOCOg as UMD did.
    assert read_paper('ldit_sam-vit-b_4xb16-40e_refcocog-google-512x512') == {}


def test_rows_that_are_counted_exist():
    assert {name for name, *_ in ROWS} >= set(COUNTED)
