"""The arguments that name a model, the same for every command.

Nothing heavy is imported before the arguments have been read.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdit.apis import ReferringSegInferencer

QUICKSTART = 'work_dirs/quickstart'
_MODEL = (
    'config, name of the model zoo, or folder that mmdit train wrote or that '
    'holds a converted model'
)
_WEIGHTS = 'checkpoint: file, directory or URL'


def add_model(
    parser: argparse.ArgumentParser, positional: bool = True
) -> None:
    """Add what names a model.

    Args:
        parser: Of the command.
        positional: Whether MODEL and WEIGHTS may be given without
            ``--model`` and ``--weights``.
    """
    if positional:
        parser.add_argument(
            'config', nargs='?', metavar='MODEL', help='the same as --model'
        )
        parser.add_argument(
            'checkpoint',
            nargs='?',
            metavar='WEIGHTS',
            help='the same as --weights',
        )
    parser.add_argument(
        '--model',
        help=f'{_MODEL} (default: what --weights of SAM or of the authors '
        f'tell, else {QUICKSTART}, the model of tools/quickstart.sh)',
    )
    parser.add_argument(
        '--weights',
        help=f'{_WEIGHTS} (default: the last one of the folder, or load_from '
        'of the config)',
    )
    add_recognition(parser)
    parser.add_argument(
        '--allow-other-settings',
        action='store_true',
        help='only warn where the checkpoint was trained with other settings '
        'than the config has',
    )


def add_recognition(parser: argparse.ArgumentParser) -> None:
    """Add what says of weights without a config what they do not tell."""
    parser.add_argument(
        '--injector',
        choices=['ldit', 'edit'],
        help="of the authors' weights, of which both have the same names "
        '(default: ldit)',
    )
    parser.add_argument(
        '--text-encoder',
        metavar='DIR',
        help="BERT's config and vocabulary: a directory, or a name of the "
        'Hugging Face hub (default: that of the config, bert-base-uncased for '
        "the authors' weights)",
    )


def choose_model(args: argparse.Namespace) -> tuple[Any, str | None]:
    """Return the model and the weights that arguments name.

    Returns:
        What :func:`mmdit.apis.models.load_config` takes; None twice where
        nothing is named.
    """
    model = _either(args, 'model', 'config')
    weights = _either(args, 'weights', 'checkpoint')
    if args.injector is None and args.text_encoder is None:
        return model, weights
    if args.injector is not None and (model is not None or weights is None):
        raise ValueError(
            '--injector has no effect on a model that has a config; leave it '
            'out'
        )
    from mmdit.apis.models import config_of_weights, load_config
    from mmdit.models.text_encoders.saving import set_text_encoder

    if model is None and weights is not None:
        cfg = config_of_weights(weights, args.injector, args.text_encoder)
        return cfg, weights
    cfg, weights = load_config(model or QUICKSTART, weights)
    set_text_encoder(cfg, args.text_encoder)
    return cfg, weights


def require_model(args: argparse.Namespace) -> tuple[Any, str | None]:
    """Return the same, those of the quickstart where nothing is named."""
    model, weights = choose_model(args)
    if model is not None or weights is not None:
        return model, weights
    if not Path(QUICKSTART).is_dir():
        raise FileNotFoundError(
            f'{QUICKSTART} does not exist; run bash tools/quickstart.sh, or '
            'give --model or --weights'
        )
    return QUICKSTART, None


def load_model(
    args: argparse.Namespace, device: str, **options: Any
) -> 'ReferringSegInferencer':
    """Load the model of :func:`require_model`.

    Args:
        args: Of a command that has called :func:`add_model`.
        device: As of :class:`mmdit.apis.ReferringSegInferencer`.
        options: Likewise.
    """
    named = require_model(args)
    from mmdit.apis import ReferringSegInferencer

    return ReferringSegInferencer(
        *named,
        device,
        # What a command prints shows how far it is.
        show_progress=False,
        allow_other_settings=args.allow_other_settings,
        **options,
    )


def _either(args: argparse.Namespace, option: str, place: str) -> str | None:
    """Return what was given by name or by place, which exclude each other."""
    named, placed = getattr(args, option), getattr(args, place, None)
    if named is not None and placed is not None:
        raise ValueError(
            f'{placed!r} and --{option} {named!r} both name the {option}; '
            'give one'
        )
    return named if named is not None else placed
