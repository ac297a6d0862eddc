"""MMEngine's Runner for tests of what was trained, on one or more splits."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.runner import Runner

from mmdit.datasets.pipeline import find_pipeline
from mmdit.datasets.refcoco import FORMER
from mmdit.deprecation import rename

#: The splits that papers report of each data set.
REPORTED = {
    'refcoco': ('val', 'testA', 'testB'),
    'refcoco+': ('val', 'testA', 'testB'),
    'refcocog': ('val', 'test'),
    'grefcoco': ('val', 'testA', 'testB'),
}


class ScoringRunner(Runner):
    """Keeps its config beside its log.

    MMEngine would write it over that of the training in the same work dir,
    with whatever the test overrides.
    """

    @master_only
    def dump_config(self) -> None:
        """Write the config into the folder of the log."""
        name = Path(self.cfg.filename or 'config.py').name
        self.cfg.dump(str(Path(self._log_dir) / name))

    def test(self) -> dict[str, float]:
        """Score, with the views of :func:`use_tta` where it was called."""
        if 'module' in self.cfg.model:
            # None of the config's own: its settings are the checkpoint's.
            dataset = self._test_dataloader['dataset']
            find_pipeline(dataset)[:] = copy.deepcopy(self.cfg.tta_pipeline)
        return super().test()

    def test_splits(
        self, datasets: Sequence[dict]
    ) -> Iterator[tuple[tuple[str, str], dict[str, float], int]]:
        """Score one data set after another; the model is loaded once.

        Args:
            datasets: As of :func:`list_splits`.

        Returns:
            Of each, data set and split, the metrics and the number of items.
        """
        out_files = [metric.get('out_file') for metric in _metrics(self.cfg)]
        show_dir = _show_dir(self.cfg)
        for dataset in datasets:
            key = dataset['name'], dataset['split']
            cfg = copy.deepcopy(self.cfg)
            for metric, path in zip(_metrics(cfg), out_files, strict=True):
                if path is not None:
                    metric['out_file'] = str(add_name(path, *key))
            for hook in self.hooks:
                if show_dir is not None and hasattr(hook, 'show_dir'):
                    hook.show_dir = str(Path(show_dir, '_'.join(key)))
            self._test_dataloader = dict(cfg.test_dataloader, dataset=dataset)
            self._test_evaluator = cfg.test_evaluator
            self._test_loop = cfg.test_cfg
            yield key, self.test(), len(self.test_dataloader.dataset)


def use_tta(cfg: Config, scales: Sequence[float] | None = None) -> None:
    """Let a test average each expression's views: test-time augmentation.

    Wraps ``model`` in ``tta_model`` and makes ``tta_pipeline``, as they are
    called in MMSegmentation. A config that has a ``tta_pipeline`` keeps it.
    Else it is the test pipeline, for the image as it is and mirrored, with
    left and right swapped in the words.

    Args:
        cfg: The config, which is changed.
        scales: Also views of each of these parts of the pipeline's size.

    Raises:
        ValueError: Views cannot be made like this.
    """
    steps = list(find_pipeline(cfg.test_dataloader.dataset))
    kinds = [str(step['type']).split('.')[-1] for step in steps]
    if 'SamplePrompts' in kinds:
        raise ValueError(
            '--tta mirrors image and words, not points and boxes: the test '
            'pipeline must be one without SamplePrompts'
        )
    model = cfg.get('tta_model') or dict(type='mmdit.ReferTTAModel')
    cfg.model = dict(model, module=cfg.model)
    # Of views: a list for each place in the batch.
    cfg.test_dataloader.collate_fn = dict(type='pseudo_collate')
    if 'tta_pipeline' not in cfg:
        cfg.tta_pipeline = _make_views(steps, kinds, scales or (1.0,))
    elif scales:
        raise ValueError(
            '--tta-scales does not go with the tta_pipeline of the config'
        )


def _make_views(
    steps: list[dict], kinds: list[str], scales: Sequence[float]
) -> list[dict]:
    """Return a pipeline that ends in ``TestTimeAug``."""
    views = [[step] for step in steps]
    sized = [n for n, step in enumerate(steps) if 'scale' in step]
    if list(scales) != [1.0] and not sized:
        raise ValueError('--tta-scales needs a Resize in the test pipeline')
    if not all(0 < scale <= 1 for scale in scales):
        raise ValueError(
            f'--tta-scales are parts of the size that the model takes, above '
            f'0 and up to 1, got {" ".join(map(str, scales))}'
        )
    for n in sized:
        width, height = steps[n]['scale']
        views[n] = [
            dict(steps[n], scale=(round(s * width), round(s * height)))
            for s in scales
        ]
    # Before the mask, which is scored as it is.
    place = kinds.index('LoadReferMask')
    flips = [dict(type='mmdit.ReferFlip', prob=float(n)) for n in range(2)]
    views.insert(place, flips)
    return [dict(type='TestTimeAug', transforms=views)]


def list_splits(cfg: Config, splits: Sequence[str] = ()) -> list[dict]:
    """Return the data sets to score, as configs.

    Args:
        cfg: A config. One that trains several data sets together is scored on
            each of them.
        splits: Their names; none for those that papers report.

    Raises:
        ValueError: The data set has no such splits, or none at all.
    """
    tested = cfg.test_dataloader.dataset
    if 'split' not in tested:
        raise ValueError(
            f'--splits needs a data set with a split, such as RefCOCODataset; '
            f'test_dataloader has {tested.type}'
        )
    trained = cfg.get('train_dataloader', {}).get('dataset', {})
    members = trained.get('members') or [dict()]
    found = []
    for member in members:
        dataset = rename(copy.deepcopy(tested), FORMER, 'a data set')
        dataset |= rename(member, FORMER, 'a member')
        default = 'grefcoco' if 'GRef' in tested.type else 'refcoco'
        name = dataset.setdefault('name', default)
        known = REPORTED.get(name, ())
        if dataset.get('split_by') == 'google':
            known = ('val',)
        # Of several data sets, not all have testA or test.
        wanted = [
            split
            for split in splits or known
            if len(members) == 1 or split in known
        ]
        found += [dict(dataset, split=split) for split in wanted]
    missing = set(splits) - {dataset['split'] for dataset in found}
    if missing or not found:
        raise ValueError(
            f'no data set of the config has the split '
            f'{", ".join(sorted(missing)) or "that papers report"}; name '
            'others after --splits'
        )
    return found


def set_out_file(cfg: Config, path: str) -> None:
    """Let the metric of the config write rows; a second one beside it.

    Raises:
        ValueError: There is no ``ReferIoUMetric``, which alone has rows.
    """
    metrics = [m for m in _metrics(cfg) if _has_rows(m)]
    if not metrics:
        raise ValueError(
            '--out needs a ReferIoUMetric among the evaluators of the config'
        )
    for n, metric in enumerate(metrics):
        metric['out_file'] = str(add_name(path, str(n + 1)) if n else path)


def add_name(path: str | Path, *names: str) -> Path:
    """Return ``results_refcoco_val.json`` of ``results.json``."""
    path = Path(path)
    return path.with_name('_'.join((path.stem, *names)) + path.suffix)


def _metrics(cfg: Config) -> list[Any]:
    """Return the configs of the metrics, of which there may be several."""
    evaluator = cfg.test_evaluator
    return evaluator if isinstance(evaluator, list) else [evaluator]


def _has_rows(metric: dict) -> bool:
    return str(metric.get('type')).split('.')[-1] == 'ReferIoUMetric'


def _show_dir(cfg: Config) -> str | None:
    hook = cfg.get('default_hooks', {}).get('visualization') or {}
    return hook.get('show_dir')
