"""``mmdit test MODEL WEIGHTS``: score a checkpoint.

Nothing heavy is imported before the arguments have been read.
"""

import argparse
from pathlib import Path

from mmengine.config import Config

from mmdit.cli.naming import add_model, require_model
from mmdit.engine.command_line import RunParser, apply_arguments, launch


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = RunParser(
        'Score a checkpoint.', 'test_dataloader.dataset.split=testA'
    )
    add_model(parser)
    parser.add_argument(
        '--out',
        help='write one row per expression (ids, expression, pixels, IoU) to '
        'this .json or .csv file',
    )
    parser.add_argument(
        '--splits',
        nargs='*',
        help='score these splits one after another, each into a file of its '
        'own, and print one table; without names those that papers report, '
        'of every data set where the config trains several together',
    )
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation: average the predictions of the image '
        'and of its mirror image, with left and right swapped in the words '
        '(or the views of tta_pipeline, where the config has one)',
    )
    parser.add_argument(
        '--tta-scales',
        nargs='+',
        type=float,
        metavar='PART',
        help='with --tta, average over these parts of the size in testing, '
        'such as 1 0.875 0.75',
    )
    parser.add_argument(
        '--show', action='store_true', help='show each overlay in a window'
    )
    parser.add_argument(
        '--show-dir',
        help='write one overlay per expression (image, ground truth, '
        'prediction) into this folder',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that a window of --show stays',
    )
    args = parser.parse()
    if args.tta_scales and not args.tta:
        parser.error('--tta-scales goes with --tta')
    return args


def read_model(args: argparse.Namespace) -> Config:
    """Return the config of what is to be scored, with its weights and data."""
    from mmdit.apis.models import load_config

    model, weights = require_model(args)
    cfg, place = load_config(model, weights)
    cfg.load_from = place
    if place is None:
        raise ValueError(
            f'no checkpoint to score: {model} comes without; give WEIGHTS'
        )
    if cfg.get('test_evaluator') is None:
        raise ValueError(
            f'{model or weights} says nothing of data to score on; give a '
            'config that does, and this as WEIGHTS'
        )
    return apply_arguments(cfg, args)


def main() -> None:
    """Build the Runner from the config and test."""
    args = parse_args()
    from mmengine.dist import is_main_process

    from mmdit.engine.distributed import is_first_process, prepare_launcher
    from mmdit.engine.loading import use_safe_loading
    from mmdit.engine.preflight import check_needs
    from mmdit.engine.testing import (
        ScoringRunner,
        list_splits,
        set_out_file,
        use_tta,
    )

    cfg = read_model(args)
    if args.allow_other_settings:
        cfg.allow_other_settings = True
    if args.out is not None:
        set_out_file(cfg, args.out)
    if args.show or args.show_dir:
        cfg.default_hooks.visualization.update(
            draw=True,
            show=args.show,
            wait_time=args.wait_time,
            show_dir=args.show_dir,
        )
    datasets = None if args.splits is None else list_splits(cfg, args.splits)
    if is_first_process(cfg):
        check_needs(cfg, datasets or [cfg.test_dataloader.dataset])
    if args.tta:
        use_tta(cfg, args.tta_scales)
    launch(args, 'mmdit.cli.test')
    prepare_launcher(cfg)
    use_safe_loading()
    runner = ScoringRunner.from_cfg(cfg)
    if datasets is None:
        runner.test()
        return
    results = list(runner.test_splits(datasets))
    if is_main_process():
        print_splits(Path(cfg.filename or 'model').stem, results)


def print_splits(name: str, results: list) -> None:
    """Print a table, and the paper's line where it reports the config."""
    from mmdit.evaluation.tables import format_paper, format_table, read_paper

    print(format_table((' '.join(key), *rest) for key, *rest in results))
    paper = read_paper(name)
    scores = {key: measured for key, measured, _ in results}
    if paper.keys() & scores.keys():
        print('\n' + format_paper(scores, paper))


if __name__ == '__main__':
    main()
