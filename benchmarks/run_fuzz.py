"""Fuzz the readers of files and words that come from others.

Each target runs in processes with limited memory and time. A line of JSON
sums up each; inputs with findings lie in ``OUT/TARGET``, and the exit status
is 1 if there are any. ``pip install atheris`` lets coverage guide the inputs.

Example: ``python benchmarks/run_fuzz.py refs jsonl --executions 10000``
"""

import argparse
import json
import sys
from pathlib import Path

from fuzz.supervisor import choose_engine, fuzz
from fuzz.targets import MAKERS


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'targets', nargs='+', choices=[*MAKERS, 'all'], metavar='TARGET',
        help=f'{", ".join(MAKERS)}, or all',
    )  # fmt: skip
    parser.add_argument('--executions', type=int, default=10_000)
    parser.add_argument(
        '--seconds', type=float, default=1e6, help='at most, for each target'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--engine', choices=['auto', 'atheris', 'random'], default='auto'
    )
    parser.add_argument('--out', type=Path, default=Path('work_dirs/fuzz'))
    return parser.parse_args()


def main() -> int:
    """Fuzz the targets one after the other."""
    args = parse_args()
    names = list(MAKERS) if 'all' in args.targets else args.targets
    engine = choose_engine(args.engine)
    groups = [[name] for name in names] if engine == 'atheris' else [names]
    failed = False
    for group in groups:
        for summary in fuzz(
            group,
            args.out,
            executions=args.executions,
            seed=args.seed,
            engine=engine,
            seconds=args.seconds,
        ):
            print(json.dumps(summary), flush=True)
            failed |= bool(summary['findings'])
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
