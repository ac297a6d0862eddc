"""``mmdit convert SRC DST``: convert checkpoints.

From Meta's SAM, transformers' SamModel or the DIT authors' files to mmdit's
names, or with ``--reverse`` to those of another project.
"""

import argparse
import hashlib
from pathlib import Path

from mmengine.registry import DefaultScope
from torch import Tensor

from mmdit.apis.models import config_of_weights
from mmdit.checkpoints.dit import drop_text_layers
from mmdit.checkpoints.files import read_checkpoint
from mmdit.checkpoints.hf_config import make_hf_config
from mmdit.checkpoints.late_text import FIRST_BLOCK, start_text_at
from mmdit.checkpoints.loading import load_weights
from mmdit.checkpoints.settings import (
    KEY,
    TEXT_LAYERS,
    TRAINED_ON,
    recorded_data,
    recorded_settings,
)
from mmdit.checkpoints.sources import SOURCES, from_mmdit, to_mmdit
from mmdit.checkpoints.writing import (
    check_destination,
    write_file,
    write_hf_directory,
)
from mmdit.cli.naming import add_recognition
from mmdit.hub import save_pretrained
from mmdit.registry import MODELS

ORIGIN = 'converted_from'
# What the card of a folder says.
ORIGINS = {
    'sam': 'SAM, by Meta AI (Apache-2.0), '
    'https://github.com/facebookresearch/segment-anything.',
    'dit': 'In the format of the authors of Deep Instruction Tuning, '
    'https://github.com/wysnzzzz/DIT. **That repository states no license**: '
    'contact its authors before you share or sell what is derived from their '
    'files. Not scored with this code.',
}
ORIGINS['hf-sam'] = ORIGINS['sam']


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n\n')[2])
    parser.add_argument('src', help='file, directory (transformers) or URL')
    parser.add_argument(
        'dst',
        help='.pth or .safetensors file, or a folder for all that a model '
        'needs (config, weights, vocabulary, card); with --target hf-sam the '
        'folder is one that SamModel.from_pretrained opens',
    )
    add_recognition(parser)
    parser.add_argument(
        '--source',
        default='auto',
        choices=['auto', *SOURCES],
        help='kind of SRC; auto tells by its keys',
    )
    parser.add_argument(
        '--reverse',
        action='store_true',
        help="write another project's names instead of mmdit's",
    )
    parser.add_argument(
        '--target',
        choices=[name for name in SOURCES if name != 'mmdit'],
        help='with --reverse: whose names; may be left out where SRC was '
        'converted to .pth by this command, and then goes back to its origin',
    )
    parser.add_argument(
        '--hf-config',
        help='config.json of a SamModel, or its directory, for --target '
        'hf-sam; not needed for ViT-B, L and H',
    )
    parser.add_argument(
        '--first-block',
        type=int,
        metavar='K',
        help='leave out what text does in the encoder blocks before K, to '
        'train late text from a model with text in all blocks',
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='replace DST if it exists'
    )
    parser.add_argument(
        '--hash',
        action='store_true',
        help="publish: put the start of the file's SHA-256 into its name, "
        'model-1a2b3c4d.pth, as MM projects name weights for download',
    )
    args = parser.parse_args()
    if args.hash and (args.overwrite or not Path(args.dst).suffix):
        parser.error('--hash is for a new file, without --overwrite')
    if args.first_block is not None and (
        args.reverse or not Path(args.dst).suffix
    ):
        parser.error('--first-block: give DST a suffix, without --reverse')
    if args.target and not args.reverse:
        parser.error('--target goes with --reverse')
    if args.hf_config and not args.reverse:
        parser.error('--hf-config goes with --reverse --target hf-sam')
    return args


def choose_target(args: argparse.Namespace, meta: dict) -> str:
    """Name the kind of checkpoint to write."""
    if not args.reverse:
        return 'mmdit'
    target = args.target or meta.get(ORIGIN)
    if target not in SOURCES or target == 'mmdit':
        raise ValueError(
            f'{args.src} does not say what it was converted from; give '
            '--target'
        )
    return target


def write(
    args: argparse.Namespace,
    target: str,
    source: str,
    state_dict: dict[str, Tensor],
    settings: dict,
) -> None:
    """Write ``state_dict`` to DST the way its target's users read it."""
    dst = Path(args.dst)
    if target == 'hf-sam' and not dst.suffix:
        config = make_hf_config(state_dict, args.hf_config)
        write_hf_directory(dst, state_dict, config)
        return
    if args.hf_config:
        raise ValueError(
            f'--hf-config is for a directory of hf-sam, got {args.dst}'
        )
    # Meta and transformers read bare state dicts.
    bare = target in ('sam', 'hf-sam')
    meta: dict = {ORIGIN: source}
    if settings:
        meta[KEY] = settings
    beside: dict = dict(meta=meta)
    if target == 'dit':
        # What the authors' whole files hold, too: here of no training.
        beside |= dict(epoch=0, optimizer={}, scheduler={}, lr=0.0)
    write_file(dst, state_dict, None if bare else beside)


def write_folder(args: argparse.Namespace, source: str) -> None:
    """Write a model that can be moved and shared."""
    cfg = config_of_weights(args.src, args.injector, args.text_encoder)
    with DefaultScope.overwrite_default_scope('mmdit'):
        model = MODELS.build(cfg.model)
    load_weights(model, cfg, args.src)
    save_pretrained(model, cfg, args.dst, origin=ORIGINS[source])
    print(f'{args.dst}: a model folder; mmdit segment --model {args.dst}')


def main() -> None:
    """Read, rename, write and report."""
    args = parse_args()
    checkpoint = read_checkpoint(args.src)
    meta = checkpoint.get('meta')
    target = choose_target(args, meta if isinstance(meta, dict) else {})
    check_destination(Path(args.dst), target, args.overwrite)
    given = checkpoint['state_dict']
    source, renamed = to_mmdit(given, args.source)
    print(f'{args.src}: {SOURCES[source].title}, {len(given)} tensors')
    if target == 'mmdit' and not Path(args.dst).suffix:
        write_folder(args, source)
        return
    if args.injector or args.text_encoder:
        raise ValueError(
            '--injector and --text-encoder are for a folder: give DST without '
            'a suffix'
        )
    settings = dict(recorded_settings(checkpoint))
    if target == 'dit' and (first := settings.get(FIRST_BLOCK)):
        raise ValueError(
            f"text enters block {first} of this model; the DIT authors' code "
            'gives it to all blocks, so that their names have no place for '
            'late text'
        )
    layers = settings.get(TEXT_LAYERS)
    if source == 'dit' and target == 'mmdit' and isinstance(layers, int):
        drop_text_layers(renamed, layers)
    lines = renamed.describe_dropped()
    if args.first_block is not None:
        renamed.state_dict, settings = start_text_at(
            args.first_block, renamed.state_dict, settings
        )
        lines.append(
            f'text enters block {args.first_block} of the encoder, no earlier '
            'one'
        )
    if target != 'mmdit':
        renamed = from_mmdit(renamed.state_dict, target)
        lines += renamed.describe_dropped()
    for line in lines:
        print(line)
    if (trained_on := recorded_data(checkpoint)) is not None:
        settings[TRAINED_ON] = trained_on
    write(args, target, source, renamed.state_dict, settings)
    dst = Path(args.dst)
    if args.hash:
        digest = hashlib.sha256(dst.read_bytes()).hexdigest()
        dst = dst.replace(dst.with_stem(f'{dst.stem}-{digest[:8]}'))
    print(f'{dst}: {SOURCES[target].title}, {len(renamed.state_dict)} tensors')
