"""What AtomicCheckpointHook does at the start and in the middle of a run."""

import os
import signal
import time

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from mmdit.engine import storage
from mmdit.engine.hooks import AtomicCheckpointHook
from mmdit.engine.loading import use_safe_loading
from mmdit.engine.work_dir import _held, lock_work_dir

NAMES = iter(range(10**6))


class Line(BaseModel):
    """A model of one parameter, whose weights cannot be initialized twice."""

    loads_strictly = True
    initialized = 0

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(1))

    def init_weights(self):
        type(self).initialized += 1

    def forward(self, x, mode='tensor'):
        if mode == 'predict':
            return [dict(y=float(self.slope * value)) for value in x]
        noise = torch.rand(1)
        return dict(loss=(self.slope * x - noise).square().mean())


@pytest.fixture(autouse=True)
def safe():
    use_safe_loading()
    _held.clear()
    Line.initialized = 0


def make_runner(work_dir, max_iters=4, hook=None, **options):
    runner = Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(x=torch.tensor(float(i))) for i in range(8)],
            batch_size=2,
            sampler=dict(type='InfiniteSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.01)),
        default_hooks=dict(
            checkpoint=dict(
                type='AtomicCheckpointHook',
                by_epoch=False,
                **(hook or dict(interval=2)),
            )
        ),
        default_scope='mmdit',
        experiment_name=f'checkpoint_hook_{next(NAMES)}',
        **{**dict(randomness=dict(seed=0)), **options},
    )
    runner.train()
    return runner


def last(folder):
    return (folder / 'last_checkpoint').read_text()


def test_last_checkpoint_is_relative_and_old_files_go(tmp_path):
    make_runner(tmp_path, hook=dict(interval=1, max_keep_ckpts=2))
    assert last(tmp_path) == 'iter_4.pth'
    assert not _held
    found = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert found == ['iter_3.pth', 'iter_4.pth']
    assert not list(tmp_path.glob('.*.part'))


@pytest.mark.parametrize('resume', [True, 'auto'])
@pytest.mark.parametrize('seed', [0, None])
def test_a_resumed_run_goes_on(tmp_path, resume, seed):
    randomness = dict(randomness=dict(seed=seed))
    make_runner(tmp_path, 2, **randomness)
    again = make_runner(tmp_path, 4, resume=resume, **randomness)
    assert again.iter == 4 and Line.initialized == 1
    if seed is not None:
        whole = make_runner(tmp_path / 'whole', 4)
        assert torch.equal(again.model.slope, whole.model.slope)


def test_auto_starts_from_the_weights_where_there_is_nothing(tmp_path):
    weights = dict(slope=torch.full((1,), 5.0))
    torch.save(dict(state_dict=weights), tmp_path / 'weights.pth')
    start = dict(load_from=str(tmp_path / 'weights.pth'), resume='auto')
    first = make_runner(tmp_path / 'run', 2, **start)
    assert first.model.slope.item() == pytest.approx(5, abs=0.1)
    assert Line.initialized == 0
    assert make_runner(tmp_path / 'run', 4, **start).iter == 4
    assert last(tmp_path / 'run') == 'iter_4.pth'


def test_weights_alone_are_nothing_to_go_on_from(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=Line().state_dict()), path)
    with pytest.raises(ValueError, match='holds no meta, message_hub, optim'):
        make_runner(tmp_path / 'run', load_from=str(path), resume=True)


def test_nothing_is_left_behind_in_silence(tmp_path):
    make_runner(tmp_path)
    with pytest.raises(FileExistsError, match=r'iter_4\.pth.*--resume'):
        make_runner(tmp_path)
    earlier = dict(load_from=str(tmp_path / 'iter_2.pth'), resume=True)
    with pytest.raises(FileExistsError, match=r'from iter_2\.pth'):
        make_runner(tmp_path, **earlier)
    assert make_runner(tmp_path / 'fork', **earlier).iter == 4
    assert last(tmp_path) == 'iter_4.pth'


def test_a_checkpoint_can_be_written_at_any_step(tmp_path):
    class Save(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, *_, **__):
            (hook,) = (
                hook
                for hook in runner.hooks
                if isinstance(hook, AtomicCheckpointHook)
            )
            if runner.iter == 2:
                path = hook.save_now(runner)
                assert path.endswith('iter_3.pth')
                assert last(tmp_path) == 'iter_3.pth'
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_runner(tmp_path, 6, custom_hooks=[Save()])
    again = make_runner(tmp_path, 6, resume=True)
    whole = make_runner(tmp_path / 'whole', 6)
    assert torch.equal(again.model.slope, whole.model.slope)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    make_runner(tmp_path, 2, hook=dict(interval=1, max_keep_ckpts=1))

    def full(path, write):
        def half(path):
            path.write_bytes(b'half')
            raise OSError(28, 'No space left on device')

        replace(path, half)

    replace = storage.replace_file
    monkeypatch.setattr(storage, 'replace_file', full)
    with pytest.raises(OSError, match='No space'):
        make_runner(tmp_path, 4, resume=True)
    assert last(tmp_path) == 'iter_2.pth'
    found = [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert 'iter_2.pth' in found and not [x for x in found if 'part' in x]


def test_a_checkpoint_names_no_files_of_others(tmp_path):
    """MMEngine deletes the best checkpoint that a file names."""
    make_runner(tmp_path, 2)
    victim = tmp_path / 'victim'
    victim.mkdir()
    loaded = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    info = loaded['message_hub']['runtime_info']
    info.update(best_ckpt=str(victim), keep_ckpt_ids=['/../../victim', 2])
    torch.save(loaded, tmp_path / 'iter_2.pth')
    again = make_runner(tmp_path, 4, dict(max_keep_ckpts=1), resume=True)
    assert victim.is_dir()
    info = again.message_hub.runtime_info
    assert 'best_ckpt' not in info and info['keep_ckpt_ids'] == [4]


def test_a_code_in_a_checkpoint_is_not_run_by_resuming(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "import os\nos.system('id > PWNED')\n"
    make_runner('run', 2)
    loaded = torch.load('run/iter_2.pth', weights_only=False)
    loaded['meta'].update(config=code, cfg=code)
    loaded['message_hub']['runtime_info'].update(config=code, cfg=code)
    torch.save(loaded, 'run/iter_2.pth')
    assert make_runner('run', 4, resume=True).iter == 4
    assert not (tmp_path / 'PWNED').exists()


def test_another_number_of_processes_is_said(tmp_path):
    make_runner(tmp_path, 2)
    loaded = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    assert loaded['meta']['world_size'] == 1
    loaded['meta']['world_size'] = 4
    torch.save(loaded, tmp_path / 'iter_2.pth')
    make_runner(tmp_path, 4, resume=True)
    logs = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'written by 4 processes, now there are 1' in logs


def test_a_work_dir_has_one_owner_that_can_die(tmp_path):
    child = os.fork()
    if not child:
        lock_work_dir(tmp_path)
        (tmp_path / 'locked').touch()
        time.sleep(60)
        os._exit(0)
    try:
        for _ in range(200):
            if (tmp_path / 'locked').exists():
                break
            time.sleep(0.05)
        with pytest.raises(RuntimeError, match=f'process {child} on'):
            lock_work_dir(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    lock_work_dir(tmp_path)
    assert f'process {os.getpid()}' in (tmp_path / '.lock').read_text()


class Mean(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [sample['y'] for sample in data_samples]

    def compute_metrics(self, results):
        return dict(mean=sum(results) / len(results))


def test_validation_alone_has_nothing_to_save(tmp_path):
    """Another project calls Runner.val() without training."""
    runner = Runner(
        model=Line(),
        work_dir=str(tmp_path),
        val_dataloader=dict(
            dataset=[dict(x=torch.tensor(float(i))) for i in range(8)],
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        val_cfg=dict(),
        val_evaluator=Evaluator(Mean()),
        default_hooks=dict(
            checkpoint=dict(
                type='AtomicCheckpointHook', save_best='mean', rule='greater'
            )
        ),
        default_scope='mmdit',
        experiment_name=f'checkpoint_hook_{next(NAMES)}',
    )
    assert runner.val() == dict(mean=3.5)
    assert not list(tmp_path.rglob('*.pth'))
