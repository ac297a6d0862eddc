"""Plot losses and metrics: ``analyze_logs.py WORK_DIR ... --keys loss mIoU``.

What MMEngine logs into ``vis_data/scalars.json``; TensorBoard shows it, too.
"""

import argparse
import json
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description='Plot curves of trainings')
    parser.add_argument(
        'logs',
        nargs='+',
        type=Path,
        metavar='LOG',
        help='a work dir, with all its runs, or one scalars.json',
    )
    parser.add_argument(
        '--keys', nargs='+', default=['loss', 'mIoU'], help='what to plot'
    )
    parser.add_argument('--legend', nargs='+', help='a name for each LOG')
    parser.add_argument('--title')
    parser.add_argument('--out', default='curves.png', help='.png, .pdf, ...')
    args = parser.parse_args()
    args.legend = args.legend or list(map(str, args.logs))
    if len(args.legend) != len(args.logs):
        parser.error(
            f'--legend has {len(args.legend)} names for {len(args.logs)} logs'
        )
    return args


def read_curves(log: Path) -> dict[str, dict[int, float]]:
    """Return values by step of every key; a later run's replace earlier ones.

    Raises:
        FileNotFoundError: There is no log.
    """
    files = [log] if log.is_file() else log.glob('*/vis_data/scalars.json')
    curves: dict[str, dict[int, float]] = {}
    for file in sorted(files):
        last = 0
        for line in file.read_text('utf-8').splitlines():
            # A killed run may end within a line.
            row = json.loads(line) if line.endswith('}') else {}
            # Validation within a training by iterations is at step 0.
            last = row.get('step') or last
            for key in row if 'step' in row else ():
                curves.setdefault(key, {})[last] = row[key]
    if not curves:
        raise FileNotFoundError(
            f'{log}: expected a scalars.json, or a work dir with '
            '*/vis_data/scalars.json of a training'
        )
    return curves


def main() -> None:
    """Draw a panel for each key."""
    args = parse_args()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(args.keys), 4), layout='constrained')
    panels = figure.subplots(1, len(args.keys), squeeze=False)[0]
    for name, log in zip(args.legend, args.logs, strict=True):
        curves = read_curves(log)
        for key, panel in zip(args.keys, panels, strict=True):
            if key not in curves:
                raise KeyError(
                    f'{log} has no {key!r}; it has {", ".join(curves)}'
                )
            steps = sorted(curves[key])
            values = [curves[key][step] for step in steps]
            panel.plot(steps, values, marker='.', label=name)
            # Validation of epochs counts epochs.
            panel.set(xlabel='step', ylabel=key)
            last = f'{values[-1]:.4f} at step {steps[-1]}'
            print(f'{name} {key}: {len(steps)} values, the last {last}')
    # A long name must not squeeze the panels.
    panels[0].legend().set_in_layout(False)
    figure.suptitle(args.title or '')
    figure.savefig(args.out)
    print(args.out)


if __name__ == '__main__':
    main()
