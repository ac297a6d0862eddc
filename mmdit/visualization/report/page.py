"""One HTML page that shows where a model fails, without any other file."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from .grouping import COLORS, POSITIONS, RELATIONS, Grouping, group_rows
from .rows import Results, check_same_items
from .statistics import Bootstrap, Estimate, Ratio, metric_ratios
from .summary import signed, summarize

BINS = 20
# Below so many images a bootstrap of clusters is known to be too narrow.
FEW_IMAGES = 20
_NOTES = {
    'mIoU': 'mean of the IoUs',
    'oIoU': 'sum of intersections / sum of unions',
    'N-acc': 'nothing named, nothing found',
    'T-acc': 'something named, something found',
}


def make_page(
    results: Results,
    other: Results | None = None,
    thumbnails: Mapping[int, str] | None = None,
    panels: Sequence[str] = (),
    draws: int = 2000,
    seed: int = 0,
) -> str:
    """Write the page of one model, or of a model against another.

    Args:
        results: Rows of the model.
        other: Rows of the model to compare with, of the same items.
        thumbnails: Data URIs by the number of the row.
        panels: What the thumbnails show, from left to right; none where they
            are the images alone.
        draws: Number of bootstrap draws.
        seed: Seed of the draws.

    Raises:
        ValueError: Where the rows of the models do not belong together.
    """
    models = [results] if other is None else [results, other]
    if other is not None:
        check_same_items(results, other)
    thumbnails = dict(thumbnails or {})
    bootstrap = Bootstrap(results.img_paths, draws, seed)
    ratios = [metric_ratios(model) for model in models]
    groupings = group_rows(results)
    metrics = _metric_lines(bootstrap, ratios)
    sections = _grouping_sections(bootstrap, ratios, groupings)
    bins, tallest = _count_bins([_rounded(model.iou) for model in models])
    environment = Environment(
        loader=PackageLoader('mmdit.visualization.report'),
        autoescape=True,
        undefined=StrictUndefined,
    )
    environment.filters['signed'] = signed
    return environment.get_template('page.html').render(
        names=[model.name for model in models],
        num_rows=len(results),
        num_images=bootstrap.num_images,
        num_nothing=int(results.no_target.sum()),
        generalized=results.generalized,
        glance=summarize(models, metrics, sections),
        metrics=metrics,
        reference=metrics[0]['estimates'][0]['value'] if not other else None,
        bins=bins,
        tallest=tallest,
        groupings=sections,
        has_sizes=results.ground_truth is not None,
        few_images=FEW_IMAGES,
        level=round(100 * bootstrap.level),
        draws=draws,
        seed=seed,
        words=dict(positions=POSITIONS, colors=COLORS, relations=RELATIONS),
        num_thumbnails=len(thumbnails),
        thumbnails=thumbnails,
        data=_case_data(models, groupings, panels),
    )


def _metric_lines(
    bootstrap: Bootstrap, ratios: list[dict[str, Ratio]]
) -> list[dict]:
    """Return a line of the table for each metric."""
    names = list(ratios[0])
    columns = [list(of_model.values()) for of_model in ratios]
    estimates = [bootstrap.estimate(column) for column in columns]
    differences: Sequence[Estimate | None] = [None] * len(names)
    if len(columns) == 2:
        differences = bootstrap.estimate_differences(*columns)
    return [
        dict(
            label=name,
            note=_NOTES.get(name, f'IoU above {name[2:]}'),
            estimates=[_values(e) for e in of_models],
            difference=difference and _values(difference),
        )
        for name, *of_models, difference in zip(
            names, *estimates, differences, strict=True
        )
    ]


def _grouping_sections(
    bootstrap: Bootstrap,
    ratios: list[dict[str, Ratio]],
    groupings: list[Grouping],
) -> list[dict]:
    """Return a table for each kind of groups."""
    groups = [group for grouping in groupings for group in grouping.groups]

    def within(model: int, name: str) -> list[Ratio]:
        return [ratios[model][name].within(group.rows) for group in groups]

    means = [within(model, 'mIoU') for model in range(len(ratios))]
    further = [bootstrap.estimate(within(0, n)) for n in ('oIoU', 'P@0.5')]
    estimates = [bootstrap.estimate(of_model) for of_model in means]
    differences: Sequence[Estimate | None] = [None] * len(groups)
    if len(means) == 2:
        differences = bootstrap.estimate_differences(*means)
    lines = iter(
        [
            dict(
                bit=bit,
                label=group.label,
                number=int(group.rows.sum()),
                images=bootstrap.count_images(group.rows),
                few=bootstrap.count_images(group.rows) < FEW_IMAGES,
                estimates=[_values(e[bit]) for e in estimates],
                further=[_values(e[bit]) for e in further],
                difference=difference and _values(difference),
            )
            for bit, (group, difference) in enumerate(
                zip(groups, differences, strict=True)
            )
        ]
    )
    sections = []
    for grouping in groupings:
        of_kind = [next(lines) for _ in grouping.groups]
        sections.append(
            dict(
                title=grouping.title,
                note=grouping.note,
                lines=of_kind,
                has_few=any(line['few'] for line in of_kind),
            )
        )
    return sections


def _values(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate for a template, which has None instead of NaN."""
    value, low, high = (None if math.isnan(x) else x for x in estimate)
    sure = low is not None and high is not None and (low > 0 or high < 0)
    return dict(value=value, low=low, high=high, sure=sure)


def _rounded(ious: np.ndarray) -> np.ndarray:
    """Round IoUs as the page holds them, so that bins and filter agree."""
    return np.round(ious, 6)


def _count_bins(ious: list[np.ndarray]) -> tuple[list[dict], int]:
    """Count IoUs, of each model, in bins; also return the largest count.

    A bin holds its lower end, the last one also 1.
    """
    edges = [k / BINS for k in range(BINS + 1)]
    counts = [np.histogram(of_model, edges)[0] for of_model in ious]
    bins = [
        dict(
            low=edges[k], high=edges[k + 1], counts=[int(c[k]) for c in counts]
        )
        for k in range(BINS)
    ]
    return bins, int(max(c.max() for c in counts))


def _case_data(
    models: list[Results], groupings: list[Grouping], panels: Sequence[str]
) -> dict:
    """Return what the list of cases shows, in columns."""
    results = models[0]
    groups = [group for grouping in groupings for group in grouping.groups]
    # One bit for each group; JavaScript's bit operations take 31 of them.
    assert len(groups) < 32
    member = sum(
        group.rows.astype(np.int64) << bit for bit, group in enumerate(groups)
    )
    return dict(
        names=[model.name for model in models],
        expressions=results.expressions,
        ious=[_rounded(model.iou).tolist() for model in models],
        median=float(np.median(_rounded(results.iou))),
        labels=[group.label for group in groups],
        groups=np.asarray(member).tolist(),
        images=[Path(path).name for path in results.img_paths],
        sentences=[item['sent_id'] for item in results.items],
        panels=list(panels),
    )
