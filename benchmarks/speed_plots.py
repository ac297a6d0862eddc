"""Draw what :mod:`speed` measured."""

from pathlib import Path

from matplotlib.figure import Figure


def draw_ratios(rows: list[dict], path: Path) -> None:
    """Draw how many times faster than the first contender each is."""
    places: list[float] = []
    titles: dict[float, str] = {}
    for row in rows:
        title = (
            f'{row["case"]}: {row["measured"]}, {row["batch"]} x '
            f'{row["size"]} px'
        )
        place = places[-1] + 1 if places else 0
        if title not in titles.values():
            titles[place] = title
            place += 1
        places.append(place)
    figure = Figure(figsize=(8, 0.8 + 0.27 * places[-1]), layout='tight')
    axes = figure.subplots()
    ours = [row['contender'] == 'mmdit' for row in rows]
    colors = ['#d1495b' if mine else '#b8c4ce' for mine in ours]
    bars = axes.barh(places, [row['ratio'] for row in rows], color=colors)
    axes.bar_label(
        bars,
        [f'{r["ratio"]:.2f}x  {r["median"]:.2f} s' for r in rows],
        padding=3,
        fontsize=8,
    )
    names = [f'{row["contender"]}, {row["dtype"]}' for row in rows]
    axes.set_yticks(places, names, fontsize=8)
    for place, title in titles.items():
        axes.text(0, place, title, fontsize=8, weight='bold', va='center')
    axes.invert_yaxis()
    axes.margins(x=0.2, y=0.01)
    axes.set_xlabel('times the speed of the first of each group')
    axes.spines[['top', 'right', 'left']].set_visible(False)
    axes.tick_params(left=False)
    _save(figure, path)


def draw_curve(rows: list[dict], path: Path) -> None:
    """Draw what each contender of the first case takes for each size."""
    first = rows[0]
    same = ('case', 'measured', 'arch', 'batch')
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        if all(row[fact] == first[fact] for fact in same):
            name = f'{row["contender"]}, {row["dtype"]}'
            curves.setdefault(name, []).append((row['size'], row['peak_mib']))
    figure = Figure(figsize=(7, 4), layout='tight')
    axes = figure.subplots()
    for name, points in curves.items():
        sizes, peaks = zip(*sorted(points), strict=True)
        style = '-' if name.startswith('mmdit, float32') else '--'
        axes.plot(sizes, peaks, style, marker='o', label=name)
    axes.set_xticks(sorted({row['size'] for row in rows}))
    axes.set_xlabel(
        f'side of the image, pixels (ViT-{first["arch"]}, batch '
        f'{first["batch"]}, {first["measured"]})'
    )
    axes.set_ylabel('peak of memory, MiB')
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.grid(color='#e6e6e6')
    axes.spines[['top', 'right']].set_visible(False)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    """Write a figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
