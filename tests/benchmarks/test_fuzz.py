"""The short form of fuzzing, and every input that once was a finding."""

from pathlib import Path
from random import Random

import pytest
from fuzz.judging import judge
from fuzz.supervisor import fuzz, replay
from fuzz.targets import MAKERS
from fuzz.trees import dump_json, mutate_tree

CASES = Path(__file__).with_name('fuzz_cases')
EXECUTIONS = 200


@pytest.fixture(scope='module')
def summaries(tmp_path_factory):
    """What a short run found, by target."""
    out = tmp_path_factory.mktemp('fuzz')
    found = fuzz(
        list(MAKERS), out, executions=EXECUTIONS, seed=1, engine='random'
    )
    log = (out / 'log').read_text(errors='replace')
    return {entry['target']: (entry, out, log) for entry in found}


@pytest.mark.parametrize('target', MAKERS)
def test_odd_inputs_are_read_or_rejected(summaries, target):
    summary, out, log = summaries[target]
    assert summary['executions'] == EXECUTIONS, log
    verdicts = out / target / 'verdicts.jsonl'
    assert not summary['findings'], verdicts.read_text()


def saved_cases():
    return [path for path in sorted(CASES.glob('*/*')) if path.is_file()]


@pytest.fixture(scope='module')
def replayed():
    """What is found in the saved cases today."""
    by_target: dict[str, list[Path]] = {}
    for path in saved_cases():
        by_target.setdefault(path.parent.name, []).append(path)
    return replay(by_target)


@pytest.mark.parametrize(
    'case', saved_cases(), ids=lambda path: f'{path.parent.name}/{path.name}'
)
def test_what_was_a_finding_is_none(replayed, case):
    assert replayed[case.parent.name, case.name] == []


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
