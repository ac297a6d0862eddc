import math

import pytest
import torch
from runs import make_runner

from mmdit.engine.hooks import HealthHook

NAN, INF = math.nan, math.inf
HOOK = dict(type='HealthHook')


def saved(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


def test_training_stops_at_the_third_loss_in_a_row(tmp_path):
    class Skips(torch.optim.SGD):
        def step(self, closure=None):
            """Change nothing, as the scaling of float16 does."""

    from mmdit.registry import OPTIMIZERS

    OPTIMIZERS.register_module(module=Skips, force=True)
    values = [1, 1, NAN, 1, 1, INF, 1, 1, NAN, 1, NAN, NAN, 1, -INF, 1, 1]
    runner = make_runner(
        tmp_path,
        values,
        [HOOK],
        optim_wrapper=dict(optimizer=dict(type='Skips', lr=0.25)),
    )
    with pytest.raises(FloatingPointError) as error:
        runner.train()
    message = str(error.value)
    assert '3 steps in a row, up to iteration 7' in message
    assert 'learning rate 0.25' in message
    assert "12.jpg: 'thing 12'; 13.jpg: 'thing 13'" in message
    assert f'last good checkpoint is {tmp_path / "iter_6.pth"}' in message
    assert 'iter_7.pth' not in saved(tmp_path)
    (log,) = tmp_path.glob('*/*.log')
    assert message in log.read_text()


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    runner = make_runner(tmp_path, [1, 1, 1, 1, NAN, 1, 1, 1], [HOOK])
    with pytest.raises(FloatingPointError, match=r'nothing is saved: slope'):
        runner.train()
    # The step that spoilt them left the checkpoints before it alone.
    assert saved(tmp_path) == ['iter_1.pth', 'iter_2.pth']
    for name in saved(tmp_path):
        weights = torch.load(tmp_path / name, weights_only=False)
        assert weights['state_dict']['slope'].isfinite().all()


def test_averaged_weights_count_as_well(tmp_path):
    hook = HealthHook()
    runner = make_runner(tmp_path, [1, 1])
    good, bad = dict(a=torch.ones(2)), dict(a=torch.tensor([1, NAN]))
    hook.before_save_checkpoint(runner, dict(state_dict=good))
    with pytest.raises(FloatingPointError, match='good checkpoint is none'):
        hook.before_save_checkpoint(
            runner, dict(state_dict=good, ema_state_dict=bad)
        )


def test_patience_is_positive():
    with pytest.raises(ValueError, match='must be 1 or more, got 0'):
        HealthHook(patience=0)
