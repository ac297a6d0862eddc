"""Tables and plot of ``late_text.py``."""

import statistics
from pathlib import Path

LEVELS = ('easy', 'crowded')
KINDS = ('looks', 'place', 'relation')


def mean_and_spread(values: list[float]) -> str:
    """Spell a mean, and the standard deviation where there is one."""
    text = f'{statistics.fmean(values):.1f}'
    if len(values) > 1:
        text += f' ± {statistics.stdev(values):.1f}'
    return text


def format_scores(results: list[dict]) -> str:
    """Write the scores as a Markdown table, with what they were made by."""
    lines = [
        '| text from block | seeds | '
        + ' | '.join(f'{lv}: {n}' for lv in LEVELS for n in ('mIoU', *KINDS))
        + ' |',
        '|---:|---|' + '---:|' * (len(LEVELS) * (1 + len(KINDS))),
    ]
    for k in sorted({result['first_block'] for result in results}):
        runs = [r for r in results if r['first_block'] == k]
        cells = [
            mean_and_spread([run[level][name] for run in runs])
            for level in LEVELS
            for name in ('mIoU', *KINDS)
        ]
        seeds = ', '.join(str(run['seed']) for run in runs)
        where = f'{k} of {runs[0]["depth"]}'
        lines.append('| ' + ' | '.join([where, seeds, *cells]) + ' |')
    facts = {
        key: ', '.join(sorted({str(r[key]) for r in results}))
        for key in ('iters', 'commit', 'torch', 'device')
    }
    lines += [
        '',
        'In percent, mean ± standard deviation over the seeds that the row '
        f'names; {facts["iters"]} steps each. Commit {facts["commit"]}, torch '
        f'{facts["torch"]}, {facts["device"]}, one thread.',
    ]
    return '\n'.join(lines)


def format_times(times: dict, depths: dict[str, int]) -> str:
    """Write the times as a Markdown table.

    Args:
        times: Of :func:`time_all`.
        depths: Blocks of each model.
    """
    lines = [
        '| model | text from block | first query | another | 8 at once | of '
        '8 first queries |',
        '|---|---:|---:|---:|---:|---:|',
    ]
    for name, label in (
        ('small', 'counterpart, 64 px'),
        ('large', f'ViT-B, {times["size"]} px'),
    ):
        for k, row in times[name].items():
            block = int(k) * depths[name] // depths['small']
            one, another, eight = row['one'], row['another'], row['eight']
            lines.append(
                f'| {label} | {block} of {depths[name]} | {one:.3g} s | '
                f'{another:.3g} s | {eight:.3g} s | {eight / 8 / one:.2f}x |'
            )
    lines += [
        '',
        f'CPU seconds of whole predictions, {times["threads"]} thread(s), '
        f'medians of turns. Commit {times["commit"]}, torch {times["torch"]}, '
        f'{times["device"]}.',
    ]
    return '\n'.join(lines)


def plot(results: list[dict], times: dict, path: Path) -> None:
    """Draw the mIoU of each run over the cost of 8 expressions."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout='tight')
    costs = {
        int(k): row['eight'] / 8 / row['one']
        for k, row in times['large'].items()
    }
    for level, color in zip(LEVELS, ('#d1495b', '#30638e'), strict=True):
        means = {}
        for k, cost in costs.items():
            scores = [
                r[level]['mIoU'] for r in results if r['first_block'] == k
            ]
            axes.scatter([cost] * len(scores), scores, 24, color, alpha=0.6)
            if scores:
                means[cost] = statistics.fmean(scores)
                depth = results[0]['depth']
                axes.annotate(
                    f'block {k} of {depth}',
                    (cost, means[cost]),
                    (0, 8),
                    textcoords='offset points',
                    ha='center',
                )
        axes.plot([*means], [*means.values()], color=color, label=level)
    axes.set_ylim(0, 100)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel('CPU time of 8 expressions over 8 calls (ViT-B, 512 px)')
    axes.set_ylabel('mIoU of the counterpart, %')
    axes.set_title('Where text enters', loc='left', fontsize='medium')
    axes.legend(title='SynthRef', frameon=False)
    axes.spines[['top', 'right']].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
