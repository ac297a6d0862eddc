"""Run a target within limits, in this process; a supervisor starts it."""

import faulthandler
import gc
import json
import logging
import mmap
import os
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from .judging import CANARY, Target, Verdict, Watch, judge
from .trees import mutate_bytes

# Executions, bytes of the input, peak memory in MB, slowest in seconds.
_HEADER = struct.Struct('<QQQd')
_ROOM = 1 << 22
# Address space beyond what an input may take: libraries that come late.
_SPARE_MB = 1024
# After this many times its seconds, an input ends the process.
_PATIENCE = 3


class State:
    """A file that outlives the process: count, current input, verdicts.

    Args:
        folder: Where ``state`` lies, and a line of JSON per verdict.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / 'state'
        if not path.exists():
            path.write_bytes(bytes(_HEADER.size + _ROOM))
        self.folder = folder
        with open(path, 'r+b') as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._seen: set[tuple[str, str]] = set()
        for entry in self.verdicts():
            self._seen.add((entry['kind'], entry['place']))

    @property
    def executions(self) -> int:
        """Inputs so far."""
        return self._header()[0]

    @property
    def current(self) -> bytes:
        """The input that is, or was, being read."""
        size = self._header()[1]
        return self._map[_HEADER.size : _HEADER.size + size]

    @property
    def peak_mb(self) -> int:
        """The most memory that a process took."""
        return self._header()[2]

    @property
    def slowest(self) -> float:
        """The most CPU time that an input took."""
        return self._header()[3]

    def _header(self) -> tuple:
        return _HEADER.unpack_from(self._map)

    def begin(self, data: bytes) -> None:
        """Keep the next input, should it end the process."""
        data = data[:_ROOM]
        executions, _, peak, slowest = self._header()
        header = executions + 1, len(data), peak, slowest
        _HEADER.pack_into(self._map, 0, *header)
        self._map[_HEADER.size : _HEADER.size + len(data)] = data

    def end(self, seconds: float, peak_mb: int) -> None:
        """Keep what the input took."""
        executions, size, peak, slowest = self._header()
        peak, slowest = max(peak, peak_mb), max(slowest, seconds)
        _HEADER.pack_into(self._map, 0, executions, size, peak, slowest)

    def verdicts(self) -> list[dict]:
        """Return the distinct verdicts so far."""
        path = self.folder / 'verdicts.jsonl'
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text().splitlines()]

    def add(self, verdict: Verdict, data: bytes) -> None:
        """Keep a verdict of a new kind or place; findings with their input."""
        if (verdict.kind, verdict.place) in self._seen:
            return
        self._seen.add((verdict.kind, verdict.place))
        entry: dict[str, Any] = verdict._asdict()
        if verdict.kind:
            digest = sha256(repr(verdict[:2]).encode()).hexdigest()[:10]
            entry['input'] = f'{verdict.kind}-{digest}.bin'
            (self.folder / entry['input']).write_bytes(data)
        with open(self.folder / 'verdicts.jsonl', 'a') as file:
            file.write(json.dumps(entry) + '\n')


class Runner:
    """Give a target inputs, and judge what comes of them."""

    def __init__(self, target: Target, state: State, watch: Watch) -> None:
        self.watch = watch
        self.target = target
        self.state = state
        self.peak_mb = _peak_mb()

    def __call__(self, data: bytes) -> list[Verdict]:
        """Let all readers read one input."""
        self.state.begin(data)
        try:
            self.target.path.write_bytes(data)
        except FileNotFoundError:
            self.target.path.parent.mkdir(parents=True)
            self.target.path.write_bytes(data)
        verdicts = [self._open(reader) for reader in self.target.readers]
        before, self.peak_mb = self.peak_mb, _peak_mb()
        self.state.end(0, self.peak_mb)
        grown = self.peak_mb - before
        if grown > self.target.memory_mb:
            verdicts.append(Verdict('memory', 'reading', f'{grown} MB'))
        if os.path.exists(CANARY):
            os.remove(CANARY)
            verdicts.append(Verdict('escape', 'canary', 'ran code'))
        for verdict in verdicts:
            self.state.add(verdict, data)
        return verdicts

    def _open(self, reader: Any) -> Verdict:
        limit = self.target.seconds
        signal.setitimer(signal.ITIMER_PROF, limit * _PATIENCE)
        start = time.process_time()
        verdict = Verdict('', 'success', '')
        self.watch.armed = True
        try:
            reader()
        except (Exception, SystemExit) as error:
            verdict = judge(error, self.target.names)
        except BaseException as error:  # Escape, and what derives likewise
            if isinstance(error, KeyboardInterrupt):
                raise
            verdict = judge(error, self.target.names)
        self.watch.armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        seconds = time.process_time() - start
        self.state.end(seconds, self.peak_mb)
        name = getattr(reader, '__name__', str(reader))
        if seconds > limit and not verdict.kind:
            return Verdict('slow', f'{name}: {verdict.place}', f'{seconds} s')
        return verdict


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def limit_process(target: Target) -> None:
    """Bound memory, let time end the process, and say where it was."""
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    room = target.memory_mb + _SPARE_MB
    size = pages * resource.getpagesize() + (room << 20)
    # Only the soft limits, so that the next target may have other ones.
    for what, value in (
        (resource.RLIMIT_AS, size),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 1 << 30),
    ):
        resource.setrlimit(what, (value, resource.getrlimit(what)[1]))


def allow_all() -> None:
    """Take the limit of memory away, to make the next target."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def make_input(target: Target, seed: int, number: int) -> bytes:
    """Return an input of the random engine: first come the seeds."""
    if number < len(target.seeds):
        return target.seeds[number]
    random = Random(f'{seed}-{number}')
    data = random.choice(target.seeds)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = _mutate(target, data, random)
    return data[: target.max_bytes]


def _mutate(target: Target, data: bytes, random: Random) -> bytes:
    """Change an input, as bytes where its structure is beyond repair."""
    try:
        return target.mutate(data, random)
    except Exception:
        return mutate_bytes(data, random)


def run_random(
    runner: Runner, executions: int, seed: int, seconds: float
) -> None:
    """Run inputs that depend on seed and number alone."""
    end = time.monotonic() + seconds
    while runner.state.executions < executions and time.monotonic() < end:
        runner(make_input(runner.target, seed, runner.state.executions))


def run_atheris(
    runner: Runner, executions: int, seed: int, seconds: float
) -> None:
    """Run inputs that reach new lines of mmdit; does not return."""
    import atheris

    target, folder = runner.target, runner.state.folder
    corpus = folder / 'corpus'
    if not corpus.is_dir():
        corpus.mkdir()
        for number, data in enumerate(target.seeds):
            (corpus / f'seed{number}').write_bytes(data)

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        random = Random(number)
        if random.random() < 0.2:
            return atheris.Mutate(data, max_size)
        return _mutate(target, data, random)[:max_size]

    def once(data: bytes) -> None:
        runner(data)

    options = [
        f'-runs={executions}',
        f'-seed={seed}',
        f'-max_total_time={int(seconds)}',
        f'-max_len={target.max_bytes}',
        f'-artifact_prefix={folder}/',
        '-rss_limit_mb=0',
        # The time of an input is bounded by limit_process, in CPU seconds.
        '-timeout=86400',
        *(f'-handle_{name}=0' for name in ('segv', 'abrt', 'bus', 'fpe')),
    ]
    atheris.Setup(
        [sys.argv[0], *options, str(corpus)], once, custom_mutator=mutate
    )
    atheris.Fuzz()


def replay(runner: Runner, cases: list[str]) -> None:
    """Run files, and write a line of JSON about each."""
    for case in cases[runner.state.executions :]:
        verdicts = runner(Path(case).read_bytes())
        found = [verdict for verdict in verdicts if verdict.kind]
        line = json.dumps(dict(case=case, findings=found))
        with open(runner.state.folder / 'results.jsonl', 'a') as file:
            file.write(line + '\n')


def _make_target(name: str, work: str, guided: bool) -> Target:
    """Import and make a target, in a folder of its own."""
    os.chdir(tempfile.mkdtemp(dir=work))
    tempfile.tempdir = os.getcwd()
    if guided:
        import atheris

        with atheris.instrument_imports(include=['mmdit']):
            from .targets import make_target

            return make_target(name, Path.cwd())
    from .targets import make_target

    return make_target(name, Path.cwd())


def main() -> None:
    """Run targets, as the supervisor says in JSON on the command line."""
    job = json.loads(sys.argv[1])
    logging.disable(logging.CRITICAL)
    warnings.simplefilter('ignore')
    guided = job['engine'] == 'atheris'
    watch = Watch()
    for name in job['targets']:
        where = Path(job['state'])
        target = _make_target(name, job['work'], guided)
        runner = Runner(target, State(where / name), watch)
        gc.collect()
        limit_process(target)
        cases = job['cases'].get(name, [])
        replay(runner, cases)
        if guided:
            left = job['executions'] - runner.state.executions
            run_atheris(runner, left, job['seed'], job['seconds'])
        else:
            end = job['executions'] + len(cases)
            run_random(runner, end, job['seed'], job['seconds'])
        allow_all()


if __name__ == '__main__':
    main()
