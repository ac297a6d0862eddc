"""benchmarks/late_text.py, without its training."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from mmdit.registry import MODELS


@pytest.fixture(scope='module')
def tool():
    import late_text

    return late_text


def make_result(tool, k, seed, score):
    from late_text_tables import KINDS

    scores = dict.fromkeys(('mIoU', *KINDS), float(score))
    return dict(
        first_block=k,
        depth=4,
        seed=seed,
        iters=7,
        commit='abc',
        torch='2',
        device='abacus',
        **dict.fromkeys(tool.LEVELS, scores),
    )


def test_a_row_names_the_seeds_that_are_done(tool):
    results = [make_result(tool, 0, seed, 70 + seed) for seed in (0, 1, 2)]
    table = tool.format_scores([*results, make_result(tool, 3, 0, 60)])
    assert '| 0 of 4 | 0, 1, 2 | 71.0 ± 1.0 | 71.0 ± 1.0 |' in table
    assert '| 3 of 4 | 0 | 60.0 | 60.0 |' in table
    assert '7 steps' in table and 'Commit abc, torch 2, abacus' in table


def test_times_are_those_of_8_first_queries(tool):
    row = dict(one=1.0, another=0.25, eight=2.4)
    times = dict(small={'3': row}, large={'3': row}, size=512, threads=1)
    times |= dict(commit='abc', torch='2', device='abacus')
    table = tool.format_times(times, dict(small=4, large=12))
    cells = '| 1 s | 0.25 s | 2.4 s | 0.30x |'
    assert f'| counterpart, 64 px | 3 of 4 {cells}' in table
    assert f'| ViT-B, 512 px | 9 of 12 {cells}' in table


def test_seed_0_comes_first_and_no_run_is_repeated(
    tool, tmp_path, monkeypatch
):
    begun = []

    def run(config, folder, seed, threads, options, target):
        if target is tool.pretrain:
            begun.append(config.stem)
            folder.mkdir(parents=True)
            (folder / 'result.json').write_text('{}')
            return
        k = options['first_block']
        begun.append((k, seed))
        folder.mkdir(parents=True)
        text = json.dumps(make_result(tool, k, seed, 50))
        (folder / 'result.json').write_text(text)

    monkeypatch.setattr(tool, 'run_apart', run)
    args = SimpleNamespace(
        config='x', work_dir=tmp_path, seeds=[0], first_blocks=[0, 3]
    )
    args.pretrain = Path('start.py')
    args.threads, args.max_iters, args.report = 1, None, False
    args.start = None
    quiet = Console(quiet=True)
    tool.run_all(args, quiet)
    args.seeds = [0, 1]
    results = tool.run_all(args, quiet)
    assert begun == ['start', (0, 0), (3, 0), (0, 1), (3, 1)]
    assert [(r['first_block'], r['seed']) for r in results] == begun[1:]
    args.seeds, args.report = [0, 1, 2], True
    assert tool.run_all(args, quiet) == results
    args.start = tmp_path / 'other.pth'
    with pytest.raises(SystemExit, match=r'started from None, not .*other'):
        tool.run_all(args, quiet)


def test_a_second_query_finds_what_the_first_kept(tool):
    seen = []

    class Model:
        features = SimpleNamespace(max_bytes=0)

        def eval(self):
            return self

        def test_step(self, batch):
            seen.append((len(batch['inputs']), self.features.max_bytes > 0))

    (times,) = tool.time_models({0: Model()}, 16, rounds=2).values()
    assert seen == [(1, False), (1, True), (8, False)] * 3
    assert set(times) == {'one', 'another', 'eight'}
    assert min(times.values()) >= 0


@pytest.mark.parametrize('block', [0, 2])
def test_a_start_with_text_fits_each_place(
    tool, tiny_segmentor, tmp_path, block
):
    """As the runs load it: the blocks with text keep their projections."""
    early = MODELS.build(tiny_segmentor)
    for value in early.parameters():
        torch.nn.init.normal_(value)
    torch.save(dict(state_dict=early.state_dict()), tmp_path / 'early.pth')
    options = dict(start=tmp_path / 'early.pth', first_block=block)
    path = tool.choose_start(options, tmp_path / 'run')
    tiny_segmentor['backbone']['text_injector']['first_block'] = block
    tiny_segmentor['init_cfg'] = dict(
        type='mmdit.SAMPretrained', checkpoint=str(path)
    )
    late = MODELS.build(tiny_segmentor)
    late.init_weights()
    injectors = (m.backbone.text_injector.projections for m in (early, late))
    theirs, ours = ([p.weight for p in injector] for injector in injectors)
    assert len(ours) == 3 - block
    assert all(map(torch.equal, ours, theirs[block:]))
    assert torch.equal(late.backbone.pos_embed, early.backbone.pos_embed)
