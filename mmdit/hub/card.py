"""The ``README.md`` of a model's folder, as the Hugging Face hub reads it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmdit.evaluation import ReferIoUMetric
from mmdit.evaluation.tables import COLUMNS
from mmdit.files import write_text
from mmdit.version import __version__

from .client import hub_library

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

FILE = 'README.md'
TASK = 'image-segmentation'
TAGS = ('mmdit', 'segment-anything', 'referring-image-segmentation')
BODY = """
# {name}

Segments what an expression refers to: a model of
`mmdit` {version}, Deep Instruction Tuning for
Segment Anything ([paper](https://arxiv.org/abs/2404.00650)).

```python
from mmdit.apis import ReferringSegInferencer

inferencer = ReferringSegInferencer('{name}')  # the path of this folder
inferencer('photo.jpg', 'the man in red', out_dir='outputs')
```

`config.json` says what is built and `text_encoder/` how words are read;
`model.safetensors` holds all weights. None of them is code.
"""


def write_card(
    folder: Path,
    license: str | None = None,
    tags: Sequence[str] = (),
    base_model: str | None = None,
    measured: Mapping[str, Sequence[dict]] | None = None,
    origin: str | None = None,
    knows: str | None = None,
) -> None:
    """Write ``README.md``.

    Args:
        folder: Its name is that of the model.
        license: Such as 'apache-2.0'; None says nothing.
        tags: Beside those of every model.
        base_model: Hub name of the model that it was trained from.
        measured: Result rows of data sets, by their names, as
            ``mmdit test --out`` writes them. Metrics are computed from
            them; without them the card has none.
        origin: Whose weights they are and what is known of them, as Markdown.
        knows: What it was trained on, and how many words it knows.
    """
    measured = measured or {}
    scores = {name: _score(name, rows) for name, rows in measured.items()}
    results = [
        _make_result(name, metric, values[metric])
        for name, values in scores.items()
        for metric in COLUMNS
    ]
    data = hub_library().ModelCardData(
        license=license,
        library_name='mmdit',
        pipeline_tag=TASK,
        tags=[*TAGS, *tags],
        base_model=base_model,
        model_name=folder.name if results else None,
        eval_results=results or None,
    )
    body = BODY.format(name=folder.name, version=__version__)
    if knows:
        body += f'\n## What it knows\n\n{knows[:1].upper()}{knows[1:]}.\n'
    if origin:
        body += f'\n## Weights\n\n{origin}\n'
    if results:
        body += _table(scores, measured)
    text = f'---\n{data.to_yaml()}\n---\n{body}'
    write_text(folder / FILE, text)


def read_card(folder: Path) -> 'ModelCard':
    """Read ``README.md``; what it says is in ``data`` and ``text``."""
    return hub_library().ModelCard((folder / FILE).read_text(encoding='utf-8'))


def _score(name: str, rows: Sequence[dict]) -> dict[str, float]:
    """Compute the metrics of result rows."""
    if not rows:
        raise ValueError(f'no result rows of {name}')
    scores = ReferIoUMetric().compute_metrics(list(rows))
    return {metric: round(float(scores[metric]), 2) for metric in COLUMNS}


def _make_result(name: str, metric: str, value: float) -> 'EvalResult':
    return hub_library().EvalResult(
        task_type=TASK,
        dataset_type=name.lower().replace(' ', '-'),
        dataset_name=name,
        metric_type=metric,
        metric_value=value,
    )


def _table(
    scores: Mapping[str, Mapping[str, float]],
    measured: Mapping[str, Sequence[dict]],
) -> str:
    """Return the metrics, in percent, as a section."""
    rows = [['data set', *COLUMNS, 'expressions'], ['---'] * 7]
    for name, values in scores.items():
        numbers = [f'{values[metric]:.2f}' for metric in COLUMNS]
        rows.append([name, *numbers, str(len(measured[name]))])
    lines = [f'| {" | ".join(row)} |' for row in rows]
    return '\n## Measured\n\nPercent.\n\n' + '\n'.join(lines) + '\n'
