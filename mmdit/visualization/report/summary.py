"""What a report says first, in sentences."""

import numpy as np

from .rows import Results

MISSED = 0.1  # what is below has, in effect, found something else


def signed(value: float) -> str:
    """Write a difference with its sign and one decimal; 0.0 has none."""
    text = f'{value:+.1f}'.replace('-', '−')
    return '0.0' if text[1:] == '0.0' else text


def summarize(
    models: list[Results], metrics: list[dict], sections: list[dict]
) -> list[str]:
    """Say in sentences what matters most.

    Args:
        models: Rows of one or two models.
        metrics: Lines of the table of metrics.
        sections: Tables of the groups.
    """
    if len(models) == 2:
        return _summarize_pair(models[0], models[1], metrics, sections)
    return [
        _say_misses(models[0]),
        *_say_nothing(models[0]),
        _say_weakest(metrics, sections),
    ]


def _say_misses(results: Results) -> str:
    """Say how many expressions are missed, half found, and found."""
    something = ~results.no_target
    total = int(something.sum())
    if not total:
        return 'No expression names anything.'
    missed = something & (results.iou < MISSED)
    partly = something & ~missed & (results.iou <= 0.5)
    well = something & (results.iou > 0.9)
    verb = 'is' if missed.sum() == 1 else 'are'
    whole = '' if something.all() else 'Of those that name something, '
    text = (
        f'{whole}{_share(missed, total)} {verb} missed, with an IoU below '
        f'{MISSED}. IoU from {MISSED} to 0.5: {_share(partly, total)}; '
        f'above 0.9: {_share(well, total)}.'
    )
    if results.predicted is not None:
        empty = int((something & (results.predicted == 0)).sum())
        if empty:
            text += f' Empty predictions: {empty}.'
    return text


def _say_nothing(results: Results) -> list[str]:
    """Say what is predicted for no-target expressions, if there are any."""
    nothing = results.no_target
    if not nothing.any():
        return []
    wrong = nothing & (results.union > 0)
    return [
        f'Of the no-target expressions, {_share(wrong, int(nothing.sum()))} '
        f'{"has" if wrong.sum() == 1 else "have"} a predicted mask.'
    ]


def _say_weakest(metrics: list[dict], sections: list[dict]) -> str:
    """Name the weakest group that is surely below the whole."""
    overall = metrics[0]['estimates'][0]['value']
    below = [
        (line['estimates'][0]['value'], line['label'], section['title'], line)
        for section in sections
        for line in section['lines']
        if not line['few']
        and line['estimates'][0]['high'] is not None
        and line['estimates'][0]['high'] < overall
    ]
    if not below:
        return (
            'No group with enough images has an interval that lies below the '
            'mIoU of all.'
        )
    value, label, title, line = min(below, key=lambda found: found[0])
    return (
        f'The weakest group, by {title}, is “{label}”: mIoU {value:.1f} '
        f'against {overall:.1f} of all ({line["number"]} expressions).'
    )


def _summarize_pair(
    first: Results, second: Results, metrics: list[dict], sections: list[dict]
) -> list[str]:
    """Say which model is ahead, where, and how often."""
    difference = metrics[0]['difference']
    ahead, behind = first.name, second.name
    if difference['value'] < 0:
        ahead, behind = behind, ahead
    verdict = (
        f'{ahead} is ahead of {behind} by {abs(difference["value"]):.1f} mIoU'
    )
    if difference['value'] == 0:
        verdict = f'{first.name} and {second.name} have the same mIoU'
    elif not difference['sure']:
        verdict += ', which another sample of images might reverse'
    total = len(first)
    (i, u), (j, v) = _fraction(first), _fraction(second)
    left, right = i * v, j * u
    return [
        f'{verdict}.',
        f'{first.name} has the higher IoU in {_share(left > right, total)}, '
        f'{second.name} in {_share(left < right, total)}; in '
        f'{_share(left == right, total)} they are equal.',
        *_say_largest(sections),
    ]


def _fraction(results: Results) -> tuple[np.ndarray, np.ndarray]:
    """Return IoUs as fractions, because equal ones may differ as floats."""
    empty = results.union == 0
    return results.intersection + empty, results.union + empty


def _say_largest(sections: list[dict]) -> list[str]:
    """Name the group whose difference is largest among the sure ones."""
    sure = [
        (abs(line['difference']['value']), line, section['title'])
        for section in sections
        for line in section['lines']
        if not line['few'] and line['difference']['sure']
    ]
    if not sure:
        return ['In no group does the interval of the difference exclude 0.']
    _, line, title = max(sure, key=lambda found: found[0])
    return [
        'The largest difference whose interval excludes 0 is that of '
        f'“{line["label"]}”, by {title}: '
        f'{signed(line["difference"]["value"])} mIoU.'
    ]


def _share(rows: np.ndarray, total: int) -> str:
    """Write a number of rows and their share."""
    number = int(rows.sum())
    noun = 'expression' if number == 1 else 'expressions'
    return f'{number} {noun} ({100 * number / total:.1f} %)'
