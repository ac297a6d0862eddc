"""Draw what a soak driver recorded, with the growth per hour.

Example: ``python benchmarks/plot_soak.py soak.csv --out soak.png``
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

# Column, title and unit of each panel.
PANELS = (
    ('rss_mb', 'Resident memory', 'MB'),
    ('descriptors', 'Open descriptors', ''),
    ('temp_files', 'Temporary files', ''),
    ('temp_mb', 'Size of temporary files', 'MB'),
)
# Caches fill at the start; growth is that of what follows.
WARM_UP = 0.25


def read_columns(path: str | Path) -> dict[str, np.ndarray]:
    """Read a CSV of ``soak.Recorder``, each column by its name."""
    table = np.genfromtxt(path, delimiter=',', names=True)
    names = table.dtype.names or ()
    return {name: np.atleast_1d(table[name]) for name in names}


def growth_per_hour(columns: dict[str, np.ndarray], name: str) -> float:
    """Fit a line to the last three quarters of the time; its slope."""
    time = columns['time_s'] / 3600
    late = time >= time[-1] * WARM_UP
    if late.sum() < 2:
        return 0.0
    return float(np.polyfit(time[late], columns[name][late], 1)[0])


def quarters(columns: dict[str, np.ndarray], name: str) -> list[float]:
    """Return the median of each quarter of the time."""
    place = np.minimum(4 * columns['time_s'] / columns['time_s'][-1], 3)
    parts = [columns[name][place.astype(int) == i] for i in range(4)]
    return [round(float(np.median(part)), 1) for part in parts if len(part)]


def summarize(columns: dict[str, np.ndarray]) -> dict:
    """Return duration, calls, and for each column how it developed."""
    summary: dict = dict(
        hours=round(float(columns['time_s'][-1]) / 3600, 3),
        calls=int(columns['calls'][-1]),
    )
    for name, _, _ in PANELS:
        summary[name] = dict(
            peak=float(columns[name].max()),
            quarters=quarters(columns, name),
            last=float(columns[name][-1]),
            growth_per_hour=round(growth_per_hour(columns, name), 3),
        )
    return summary


def plot(columns: dict[str, np.ndarray], title: str, out: Path) -> None:
    """Draw one panel per column over time."""
    figure, axes = plt.subplots(
        len(PANELS), 1, figsize=(8, 9), sharex=True, layout='constrained'
    )
    minutes = columns['time_s'] / 60
    for axis, (name, label, unit) in zip(axes, PANELS, strict=True):
        axis.plot(minutes, columns[name], linewidth=1)
        axis.axvspan(0, minutes[-1] * WARM_UP, alpha=0.1, color='gray')
        growth = growth_per_hour(columns, name)
        axis.set_title(f'{label}: {growth:+.2f} {unit} per hour', loc='left')
        axis.set_ylabel(unit)
        axis.set_ylim(bottom=0)
    axes[-1].set_xlabel('minutes (gray: not in the fit)')
    figure.suptitle(f'{title}, {int(columns["calls"][-1])} calls')
    figure.savefig(out, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw a CSV and print its summary as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('csv', type=Path)
    parser.add_argument('--title', help='by default the name of the CSV')
    parser.add_argument(
        '--out', type=Path, help='by default a PNG beside the CSV'
    )
    args = parser.parse_args()
    columns = read_columns(args.csv)
    out = args.out or args.csv.with_suffix('.png')
    plot(columns, args.title or args.csv.stem, out)
    print(json.dumps(summarize(columns)))


if __name__ == '__main__':
    main()
