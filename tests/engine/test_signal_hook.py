import os
import signal

import pytest
from mmengine.hooks import Hook
from runs import make_runner

from mmdit.engine.hooks import SignalHook


class Sends(Hook):
    """Sends this process a signal in the third step, or a validation."""

    def __init__(self, number, during='after_train_iter'):
        self.number = number
        setattr(self, during, self.send)

    def send(self, runner, *args, **kwargs):
        if runner.iter == 2:
            os.kill(os.getpid(), self.number)


class Saves(Hook):
    def save_now(self, runner):
        return f'{runner.work_dir}/now_{runner.iter + 1}.pth'


@pytest.mark.parametrize('number', ['SIGTERM', 'SIGINT', 'SIGUSR1'])
def test_a_signal_ends_a_run_with_a_checkpoint(tmp_path, number, capfd):
    number = getattr(signal, number)
    before = signal.getsignal(number)
    hooks = [SignalHook(), Saves(), Sends(number)]
    runner = make_runner(tmp_path, [1] * 20, hooks)
    with pytest.raises(SystemExit) as stop:
        runner.train()
    assert stop.value.code == 128 + number
    assert runner.iter == 2
    assert signal.getsignal(number) == before
    printed = capfd.readouterr()
    assert f'{number.name}: stopping' in printed.err
    line = f'{number.name}: saved {tmp_path}/now_3.pth; go on from it with'
    (log,) = tmp_path.glob('*/*.log')
    assert log.read_text().count(line) == 1


def test_a_run_without_signals_leaves_them_alone(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    make_runner(tmp_path, [1] * 4, [SignalHook()]).train()
    assert signal.getsignal(signal.SIGTERM) == before


def test_without_a_hook_that_saves_this_is_said(tmp_path):
    hooks = [SignalHook(), Sends(signal.SIGTERM)]
    runner = make_runner(tmp_path, [1] * 20, hooks)
    with pytest.raises(SystemExit):
        runner.train()
    (log,) = tmp_path.glob('*/*.log')
    assert 'so nothing is saved' in log.read_text()


def test_a_second_interrupt_kills(monkeypatch):
    killed = []
    monkeypatch.setattr('os.kill', lambda *how: killed.append(how))
    monkeypatch.setattr('signal.signal', lambda *how: killed.append(how))
    hook = SignalHook()
    for number in (signal.SIGTERM, signal.SIGTERM):
        hook._receive(number, None)
    assert not killed
    hook._receive(signal.SIGINT, None)
    assert killed == [
        (signal.SIGINT, signal.SIG_DFL),
        (os.getpid(), signal.SIGINT),
    ]
