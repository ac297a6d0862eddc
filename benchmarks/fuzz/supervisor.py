"""Start workers, outlive them, and sum up what they found."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .judging import ROOT, Verdict
from .worker import State

# A process may die so often before its target is given up.
MAX_DEATHS = 100
# Wall-clock seconds without a new input.
_HANGS_AFTER = 120
_KINDS = {
    signal.SIGPROF: 'time',
    signal.SIGSEGV: 'crash',
    signal.SIGBUS: 'crash',
    signal.SIGFPE: 'crash',
    signal.SIGABRT: 'crash',
    signal.SIGKILL: 'killed',
}


def choose_engine(engine: str) -> str:
    """Return ``atheris`` where it is installed, if nothing else is chosen."""
    if engine != 'auto':
        return engine
    return 'atheris' if find_spec('atheris') else 'random'


def fuzz(
    targets: Sequence[str],
    out: Path,
    *,
    executions: int,
    seed: int = 0,
    engine: str = 'auto',
    seconds: float = 1e6,
    cases: Mapping[str, Sequence[Path]] | None = None,
) -> list[dict]:
    """Fuzz targets in one process, as long as it lives; return summaries.

    Args:
        targets: Their names; one at a time with atheris.
        out: Where findings, corpus and log go; a run that was interrupted
            goes on.
        executions: Inputs of each in all.
        seed: Of all chance.
        engine: ``atheris`` (guided by coverage), ``random`` or ``auto``.
        seconds: Stop after this time.
        cases: Files that targets read before; what is found in each stands
            in ``OUT/TARGET/results.jsonl``.
    """
    out, start = out.resolve(), time.monotonic()
    states = {name: State(out / name) for name in targets}
    deaths = dict.fromkeys(targets, 0)
    paths = {
        n: [str(p.resolve()) for p in ps] for n, ps in (cases or {}).items()
    }
    wanted = {n: executions + len(paths.get(n, [])) for n in targets}
    job = dict(
        state=str(out),
        executions=executions,
        engine=choose_engine(engine),
        cases=paths,
    )
    while left := [n for n in targets if states[n].executions < wanted[n]]:
        time_left = seconds - (time.monotonic() - start)
        if time_left <= 0:
            break
        before = [state.executions for state in states.values()]
        again = dict(seconds=time_left, seed=seed)
        if job['engine'] == 'atheris':
            again['seed'] += sum(deaths.values())
        code = _run(dict(job, targets=left, **again), out, states)
        if code == 0:
            break
        after = [state.executions for state in states.values()]
        name = next(n for n in left if states[n].executions < wanted[n])
        deaths[name] += 1
        states[name].add(_death(code, out), states[name].current)
        _forget(out / name / 'corpus', states[name].current)
        if deaths[name] >= MAX_DEATHS or before == after:
            break
    taken = time.monotonic() - start
    return [
        _summarize(name, state, job, deaths[name], taken)
        for name, state in states.items()
    ]


def _forget(corpus: Path, data: bytes) -> None:
    """Take an input out, which would end each process at its start."""
    for path in corpus.glob('*'):
        if path.stat().st_size == len(data) and path.read_bytes() == data:
            path.unlink()


def _run(job: dict, out: Path, states: dict[str, State]) -> int:
    """Run a worker to its end; return its exit status."""
    env = dict(
        os.environ,
        PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / 'benchmarks')]),
        OMP_NUM_THREADS='1',
        HF_HUB_OFFLINE='1',
    )
    # A worker writes its inputs again and again: in memory, where possible.
    memory = Path('/dev/shm')
    place = memory if os.access(memory, os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=place, prefix='fuzz-') as work,
        open(out / 'log', 'w') as log,
        subprocess.Popen(
            [
                sys.executable,
                '-m',
                'fuzz.worker',
                json.dumps(job | {'work': work}),
            ],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        ) as process,
    ):
        try:
            return _wait(process, states)
        finally:
            process.kill()


def _wait(process: subprocess.Popen, states: dict[str, State]) -> int:
    """Wait for a worker, as long as it makes progress."""

    def progress() -> int:
        return sum(state.executions for state in states.values())

    seen, since = progress(), time.monotonic()
    while True:
        try:
            return process.wait(1)
        except subprocess.TimeoutExpired:
            pass
        if progress() != seen:
            seen, since = progress(), time.monotonic()
        elif time.monotonic() - since > _HANGS_AFTER:
            process.send_signal(signal.SIGABRT)
            process.wait(30)
            return -signal.SIGALRM


def _death(code: int, out: Path) -> Verdict:
    """Say how a worker ended, and where it was."""
    kind = 'hang' if code == -signal.SIGALRM else 'ended'
    if code < 0:
        kind = _KINDS.get(signal.Signals(-code), kind)
    log = (out / 'log').read_text(errors='replace')
    own = re.findall(rf'File "{ROOT}/(mmdit/[^"]+)", line (\d+)', log)
    place = ':'.join(own[0]) if own else 'unknown place'
    return Verdict(kind, f'exit status {code} at {place}', log[-3000:])


def _summarize(
    target: str, state: State, job: dict, deaths: int, seconds: float
) -> dict:
    """Return what the command prints."""
    verdicts = state.verdicts()
    findings = [v for v in verdicts if v['kind']]
    summary: dict[str, Any] = dict(
        target=target,
        engine=job['engine'],
        executions=state.executions,
        findings=len(findings),
        crashes=deaths,
        accepted=len(verdicts) - len(findings),
        peak_mb=state.peak_mb,
        slowest_s=round(state.slowest, 3),
        seconds=round(seconds, 1),
    )
    log = (state.folder.parent / 'log').read_text(errors='replace')
    if coverage := re.findall(r'cov: (\d+) ft: (\d+)', log):
        summary['coverage'], summary['features'] = map(int, coverage[-1])
    summary['kinds'] = sorted({v['kind'] for v in findings})
    return summary
