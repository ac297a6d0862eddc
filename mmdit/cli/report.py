"""``mmdit report RESULTS``: show where a model fails.

RESULTS are the rows that ``mmdit test --out`` writes. The page needs no
network and no other file. With ``--compare`` it sets the model against
another, whose rows must be of the same items (docs/report.md).
"""

import argparse
from pathlib import Path

from mmdit.files import write_text
from mmdit.visualization.report import (
    Results,
    check_same_items,
    choose_cases,
    embed_images,
    embed_overlays,
    make_page,
    read_results,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Show where a model fails.',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        'results', help='.json or .csv file of mmdit test --out'
    )
    parser.add_argument(
        '--compare',
        metavar='OTHER',
        help='rows of another model on the same items; differences are '
        'RESULTS minus OTHER',
    )
    parser.add_argument('--out', type=Path, default=Path('report.html'))
    parser.add_argument(
        '--names',
        nargs='+',
        help='what to call the model, and the other; by default the paths',
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        '--overlays',
        nargs='+',
        type=Path,
        metavar='DIR',
        help='overlays of mmdit test --show-dir; with --compare also '
        'those of the other model, in another folder',
    )
    source.add_argument(
        '--images',
        type=Path,
        metavar='ROOT',
        help='show the images alone; ROOT is the folder from which their '
        'paths in the rows start',
    )
    parser.add_argument(
        *('--max-images', '--max-pictures'),  # the latter is the former name
        type=int,
        default=150,
        help='how many cases get an image; each takes some 20 to 60 kB',
    )
    parser.add_argument(
        '--draws', type=int, default=2000, help='bootstrap draws'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of draws and choices'
    )
    args = parser.parse_args()
    models = 1 if args.compare is None else 2
    if args.names and len(args.names) != models:
        parser.error(
            f'--names needs {models} for {models} model'
            f'{"s" if models > 1 else ""}, got {len(args.names)}'
        )
    if args.overlays and len(args.overlays) > models:
        parser.error(
            f'--overlays takes at most one folder for each of {models} '
            f'model{"s" if models > 1 else ""}, got {len(args.overlays)}'
        )
    if args.max_images < 0:
        parser.error(f'--max-images must be 0 or more, got {args.max_images}')
    return args


def embed(
    args: argparse.Namespace, models: list[Results]
) -> tuple[dict[int, str], list[str]]:
    """Return the images, and what their panels show."""
    scores = models[0].iou
    if len(models) == 2:
        scores = scores - models[1].iou
    rows = choose_cases(scores, args.max_images, args.seed)
    if args.images is not None:
        return embed_images(models[0], rows, args.images), []
    if not args.overlays:
        return {}, []
    panels = ['image', 'ground truth', 'prediction']
    if len(args.overlays) == 2:
        panels = ['image', 'ground truth', *(model.name for model in models)]
    return embed_overlays(models[0], rows, args.overlays), panels


def main() -> None:
    """Read the rows and write the page."""
    args = parse_args()
    names = args.names or [None, None]
    models = [read_results(args.results, names[0])]
    if args.compare is not None:
        models.append(read_results(args.compare, names[1]))
        check_same_items(*models)
    images, panels = embed(args, models)
    page = make_page(
        models[0],
        models[1] if args.compare is not None else None,
        thumbnails=images,
        panels=panels,
        draws=args.draws,
        seed=args.seed,
    )
    write_text(args.out, page)
    print(
        f'{args.out}: {len(models[0])} expressions, {len(images)} images, '
        f'{len(page.encode()) / 1e6:.1f} MB'
    )
