"""One verdict of loader, checker and converter on every odd data set."""

import gc
import json
import logging
import pickle
import re

import pytest
from odd_sets import BROKEN, ODD_SETS, USABLE, WARNED, write

from mmdit.cli import refer2jsonl
from mmdit.datasets import RefCOCODataset, ReferJSONLDataset
from mmdit.datasets.checking import check_jsonl, check_set, items
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask, loading

ITEM = r'(ref_id|ann_id|image_id|sent_id|line|entry|image|annotations?) "?\d'
CURE = 'expected|correct|set |give|load|write|leave|remove|make|save|multiply'
# What is wrong with them lies in no item.
WHOLE_FILES = (
    'memo of gigabytes',
    'code in refs',
    'array in refs',
    'cut refs',
    'deep instances',
    'instances of lists',
)


@pytest.fixture(autouse=True, scope='module')
def few_objects_to_collect():
    """Each data set collects garbage, which torch's modules make slow."""
    gc.freeze()
    yield
    gc.unfreeze()


class InThisProcess:
    """Stands for a pool of processes, whose start takes most of the time."""

    def __init__(self, workers, initializer=None):
        self.map = lambda check, jobs, chunksize: map(check, jobs)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def status(broken, warned):
    return BROKEN if broken else WARNED if warned else USABLE


def datasets_of(odd, path):
    if odd.form == 'lines':
        return ReferJSONLDataset(ann_file=str(path))
    return RefCOCODataset(
        data_root=str(path.parent),
        name=path.name,
        split_by='me',
        sample_by='sentence',
    )


def load_all(odd, path, monkeypatch):
    """Read every item; return the verdict and what is said."""
    said = []

    def log(message, **kwargs):
        said.append(message)
        assert kwargs['level'] == logging.WARNING

    loading._met.clear()
    for module in ('transforms.loading', 'reading.refs'):
        monkeypatch.setattr(f'mmdit.datasets.{module}.print_log', log)
    try:
        for item in datasets_of(odd, path):
            LoadReferMask().transform(LoadReferImage().transform(item))
    except (ValueError, FileNotFoundError, pickle.UnpicklingError) as error:
        return BROKEN, str(error)
    return status(False, said), ' '.join(said)


def check(odd, path):
    if odd.form == 'lines':
        report = check_jsonl(path)
    else:
        report = check_set(path.parent, path.name, 'me')
    return report.status, '\n'.join(sum(report.problems.values(), []))


def convert_and_check(path):
    """Write JSON lines; return the verdict of their checker."""
    out = path.with_name('converted.jsonl')
    args = [str(path.parent), str(out), '--dataset', path.name]
    try:
        refer2jsonl.main([*args, '--split-by', 'me'])
    except (ValueError, FileNotFoundError, pickle.UnpicklingError):
        return BROKEN
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows
    return check_jsonl(out).status


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('odd', ODD_SETS, ids=str)
def test_all_readers_agree(odd, tmp_path, monkeypatch):
    monkeypatch.setattr(items, 'ProcessPoolExecutor', InThisProcess)
    path = write(odd, tmp_path / 'root')
    loaded, said = load_all(odd, path, monkeypatch)
    checked, cases = check(odd, path)
    assert (loaded, checked) == (odd.verdict, odd.verdict), (said, cases)
    if odd.verdict == BROKEN:
        assert re.search(odd.says, said, re.DOTALL), said
        assert re.search(odd.says, cases, re.DOTALL), cases
        assert str(tmp_path) in said and re.search(CURE, said, re.I), said
        assert re.search(ITEM, said) or odd.name in WHOLE_FILES, said
        assert len(said) < 1500 and '\n' not in said, said
    said.encode('utf-8')
    cases.encode('utf-8')
    # Sentences without words are no rows, so they are not counted there.
    if odd.form == 'refer':
        lines = convert_and_check(path)
        unseen = odd.name in ('no sentences', 'sent_ids twice')
        assert lines == (USABLE if unseen else odd.verdict)


def test_there_are_many():
    assert len({str(odd) for odd in ODD_SETS}) == len(ODD_SETS) >= 150
    verdicts = [odd.verdict for odd in ODD_SETS]
    assert min(map(verdicts.count, (BROKEN, WARNED, USABLE))) >= 20
