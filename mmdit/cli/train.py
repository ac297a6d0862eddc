"""``mmdit train CONFIG``: train a model.

Nothing heavy is imported before the arguments have been read.
"""

import argparse

from mmdit.engine.command_line import (
    AMP_DTYPES,
    RunParser,
    config_path,
    launch,
    read_config,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = RunParser(
        'Train a model.',
        'train_dataloader.batch_size=8 key="[(a,b),(c,d)]"',
    )
    parser.add_argument(
        'config',
        type=config_path,
        help='path of a config file, or the name of one of mmdit',
    )
    parser.add_argument(
        '--weights',
        help='start from these weights, of any kind: of SAM alone, or of a '
        'whole model to fine-tune (file, directory or URL; default: those of '
        'the config)',
    )
    parser.add_argument(
        '--text-encoder',
        metavar='DIR',
        help="BERT's config and vocabulary, and its weights where --weights "
        'has none: a directory, or a name of the Hugging Face hub (default: '
        'that of the config)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='resume from a checkpoint, by default the last one in the work '
        'dir, if any',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in mixed precision: bfloat16, or float16 on a GPU without '
        'it',
    )
    parser.add_argument(
        '--amp-dtype',
        choices=AMP_DTYPES,
        help='train in mixed precision of this dtype',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='multiply the learning rate by the total batch over that of the '
        'recipe (auto_scale_lr.base_batch_size)',
    )
    return parser.parse()


def main() -> None:
    """Build the Runner from the config and train."""
    args = parse_args()
    from mmdit.engine.amp import use_amp
    from mmdit.engine.distributed import is_first_process, prepare_launcher
    from mmdit.engine.loading import use_safe_loading
    from mmdit.engine.preflight import check_needs
    from mmdit.engine.stopping import train
    from mmdit.engine.total_batch import scale_learning_rate
    from mmdit.engine.work_dir import claim_work_dir, lock_work_dir

    cfg = read_config(args)
    try:
        if args.amp or args.amp_dtype:
            use_amp(cfg, args.amp_dtype)
        if args.auto_scale_lr:
            scale_learning_rate(cfg)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    if args.resume == 'auto':
        cfg.resume = 'auto'
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    if is_first_process(cfg):
        check_needs(cfg)
    launch(args, 'mmdit.cli.train')
    if is_first_process(cfg):
        # Before the Runner writes logs and config there.
        try:
            if cfg.get('resume'):
                lock_work_dir(cfg.work_dir)
            else:
                claim_work_dir(cfg.work_dir, None)
        except (OSError, RuntimeError) as error:
            raise SystemExit(str(error)) from error
    prepare_launcher(cfg)
    use_safe_loading()
    train(cfg)


if __name__ == '__main__':
    main()
