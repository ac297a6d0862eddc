"""``mmdit synthref``: draw scenes of shapes in RefCOCO's formats."""

import argparse

from rich.progress import track

from mmdit.datasets.synthref import LEVELS, write_synthref


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Draw the SynthRef data set: scenes of shapes in '
        "RefCOCO's formats. See docs/synthref.md.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('out', help='folder to make, e.g. data/synthref')
    parser.add_argument(
        '--train', type=int, default=4000, help='number of training images'
    )
    parser.add_argument(
        '--val', type=int, default=250, help='number of validation images'
    )
    parser.add_argument(
        '--size',
        type=int,
        default=64,
        help='image side in pixels, 32 or more; the scenes stay the same',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of all randomness'
    )
    parser.add_argument(
        '--level',
        choices=list(LEVELS),
        default='easy',
        help='2 or 3 objects, or 3 to 6 that are often alike',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace a SynthRef data set that was made with other arguments',
    )
    args = parser.parse_args()
    args.fail = parser.error
    return args


def main() -> None:
    """Make the data set and say what was made."""
    args = parse_args()
    try:
        info = write_synthref(
            args.out,
            train=args.train,
            val=args.val,
            size=args.size,
            seed=args.seed,
            level=args.level,
            overwrite=args.overwrite,
            track=lambda jobs: track(jobs, description='drawing'),
        )
    except (ValueError, OSError) as error:
        args.fail(str(error))
    if info is None:
        print(f'{args.out} already holds this very data set: nothing to do')
        return
    print(
        f'\nwrote {args.out} ({args.size} px, seed {args.seed}, {args.level})'
    )
    for split, counts in info['counts'].items():
        numbers = ', '.join(f'{n} {name}' for name, n in counts.items())
        print(f'  {split}: {numbers}')
