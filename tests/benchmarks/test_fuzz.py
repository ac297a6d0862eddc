"""The short form of fuzzing, and every input that once was a finding."""

import json
import subprocess
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest
from forked import ForkedPython
from fuzz import supervisor
from fuzz.judging import judge
from fuzz.supervisor import fuzz
from fuzz.targets import MAKERS
from fuzz.trees import dump_json, mutate_tree

FOLDER = Path(__file__).with_name('fuzz_cases')
CASES = {name: sorted((FOLDER / name).glob('*.bin')) for name in MAKERS}
SAVED = [path for paths in CASES.values() for path in paths]
EXECUTIONS = 100


@pytest.fixture(scope='module')
def short_run(fill_once):
    """Where a run over the saved cases and some new inputs has written."""
    options = dict(seed=1, engine='random', cases=CASES)

    def run(out):
        with pytest.MonkeyPatch.context() as patch:
            # Of the supervisor alone: readers may start what they like.
            forking = vars(subprocess) | dict(Popen=ForkedPython)
            patch.setattr(supervisor, 'subprocess', SimpleNamespace(**forking))
            fuzz(list(MAKERS), out, executions=EXECUTIONS, **options)

    return fill_once('fuzz', run)


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize('target', MAKERS)
def test_odd_inputs_are_read_or_rejected(short_run, target):
    verdicts = read_lines(short_run / target / 'verdicts.jsonl')
    assert [v for v in verdicts if v['kind']] == []
    # Both ways of ending are met.
    assert len(verdicts) > 1


@pytest.mark.parametrize(
    'case', SAVED, ids=lambda path: f'{path.parent.name}/{path.name}'
)
def test_what_was_a_finding_is_none(short_run, case):
    results = read_lines(short_run / case.parent.name / 'results.jsonl')
    found = {Path(line['case']).name: line['findings'] for line in results}
    assert found[case.name] == []


def test_mutated_trees_can_be_written():
    tree = dict(a=[1, 2.5, 'x'], b=dict(c=None, d=[[3]]))
    texts = {
        dump_json(mutate_tree(tree, Random(seed)), Random(seed))
        for seed in range(200)
    }
    assert len(texts) > 100


@pytest.mark.parametrize(
    ('error', 'kind'),
    [
        (ValueError('a.json holds 3'), ''),
        (ValueError('holds 3'), 'unnamed'),
        (ValueError(), 'silent'),
        (ValueError('a.json' + 'x' * 5000), 'long'),
        (AttributeError('a.json'), 'undocumented'),
        (MemoryError('a.json'), 'memory'),
    ],
)
def test_only_documented_errors_are_accepted(error, kind):
    try:
        raise error
    except Exception as raised:
        assert judge(raised, ('a.json',)).kind == kind


def test_memory_errors_show_through_others():
    try:
        try:
            raise MemoryError
        except MemoryError as error:
            raise ValueError('a.json is damaged') from error
    except ValueError as raised:
        assert judge(raised, ('a.json',)).kind == 'memory'
