"""MMEngine's Runner for tests of what was trained, on one or more splits."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.runner import Runner

from mmdit.datasets.refcoco import rename_key

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
        dataset = rename_key(copy.deepcopy(tested)) | rename_key(member)
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


__all__ = ['ScoringRunner', 'add_name', 'list_splits', 'set_out_file']
