"""Segment images from the shell: ``mmdit segment``, ``demo/image_demo.py``.

Nothing heavy is imported before the arguments have been read.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mmdit.runtime.limits import MAX_PIXELS

from .naming import add_model, load_model
from .running import guard, sentence

if TYPE_CHECKING:
    from mmdit.runtime.writing import ResultWriter


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command understands."""
    parser.description = (
        'Segment what expressions refer to, or points and a box show.'
    )
    parser.add_argument(
        'image', help='an image: path or URL; or a folder of images'
    )
    parser.add_argument(
        'expression', nargs='?', help='an expression: "the man in red"'
    )
    parser.add_argument(
        '--expr',
        action='extend',
        nargs='+',
        default=[],
        metavar='EXPRESSION',
        help='more expressions for the same images, each in quotes; may be '
        'repeated',
    )
    parser.add_argument(
        '--point',
        action='append',
        type=read_point,
        metavar='X,Y[,0]',
        help='a point inside the object, in pixels from the top left; '
        'with ,0 a point outside; may be repeated',
    )
    parser.add_argument(
        '--box',
        type=read_box,
        metavar='LEFT,TOP,RIGHT,BOTTOM',
        help='a box around the object, in pixels',
    )
    add_model(parser, positional=False)
    parser.add_argument(
        '--onnx',
        metavar='DIR',
        help='folder that mmdit export wrote, to be run by ONNX '
        'Runtime on the CPU, without torch, instead of --model',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='run the int8 weights of --onnx, from mmdit export --int8',
    )
    parser.add_argument(
        '--out-dir',
        default='outputs',
        help='folder for overlays/, masks/ and predictions.json; what an '
        'interrupted call has left there is not predicted again '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--format',
        action='extend',
        nargs='+',
        default=[],
        choices=['coco', 'polygons', 'cutouts', 'ids', 'labelme'],
        help='write the masks also as coco.json, as polygons with holes '
        '(GeoJSON), as RGBA PNG files cut out of the image, as PNG files of '
        'instance ids with a table, or as files of labelme',
    )
    parser.add_argument(
        '--device',
        default='auto',
        help='cpu, cuda:0, ... (default: an accelerator where there is one)',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        help='expressions at a time (default: that of the config)',
    )
    parser.add_argument(
        '--threshold',
        type=float,
        help='a pixel belongs to a mask where its probability exceeds this '
        "(default: the model's own)",
    )
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=MAX_PIXELS,
        help='largest image to read, in pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--on-error',
        choices=['skip', 'stop'],
        default='skip',
        help='what to do where an image fails: go on, and list it at the end, '
        'or stop (default: %(default)s)',
    )


def read_point(text: str) -> list[float]:
    """Return x, y and label, 1 inside and 0 outside."""
    numbers = _read_numbers(text)
    if len(numbers) == 2:
        numbers.append(1)
    if len(numbers) != 3 or numbers[2] not in (0, 1):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a point; expected X,Y such as 120,80 for one '
            'inside, X,Y,0 for one outside'
        )
    return numbers


def read_box(text: str) -> list[float]:
    """Return left, top, right and bottom."""
    numbers = _read_numbers(text)
    if len(numbers) != 4:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a box; expected LEFT,TOP,RIGHT,BOTTOM such as '
            '10,10,200,300'
        )
    return numbers


def _read_numbers(text: str) -> list[float]:
    """Return the numbers between commas, none where one is no number."""
    try:
        return [float(part) for part in text.split(',')]
    except ValueError:
        return []


def _check_onnx_options(args: argparse.Namespace) -> None:
    """Reject options that an exported model would not heed."""
    for name, given in (
        ('--model', args.model is not None),
        ('--weights', args.weights is not None),
        ('--device', args.device not in ('auto', 'cpu')),
        ('--allow-other-settings', args.allow_other_settings),
        ('--injector', args.injector is not None),
        ('--text-encoder', args.text_encoder is not None),
        ('--point', args.point is not None),
        ('--box', args.box is not None),
    ):
        if given:
            raise ValueError(
                f'{name} has no effect on the model of --onnx; leave one out'
            )


def _load(args: argparse.Namespace) -> Any:
    """Load the model that the arguments name."""
    if args.onnx is not None:
        from mmdit.runtime.onnx import OnnxSegmenter

        return OnnxSegmenter(
            args.onnx, max_pixels=args.max_pixels, int8=args.int8
        )
    if args.int8:
        raise ValueError('--int8 needs --onnx, a folder of mmdit export')
    return load_model(args, args.device, max_pixels=args.max_pixels)


def _check_prompts(args: argparse.Namespace, images: list, model: Any) -> None:
    """Reject prompts without effect; warn where they were not trained."""
    if len(images) > 1:
        raise ValueError(
            f'--point and --box are places in one image, but {args.image} has '
            f'{len(images)}; give one of them'
        )
    segmentor = model.model
    if segmentor.text_encoder is None or segmentor.train_points:
        return
    if args.expression is None and not args.expr:
        raise ValueError(
            'this model was trained with expressions, not with points or '
            'boxes alone; give an expression, too, or --weights of SAM'
        )
    sys.stderr.write(
        'this model was not trained with points or boxes: they change its '
        'masks, but may not improve them\n'
    )


def run(args: argparse.Namespace) -> int:
    """Predict, a line each; return the exit status.

    0: all is predicted, also where nothing is found; 1: images have failed,
    of which standard error tells.
    """
    from mmdit import __version__
    from mmdit.runtime.queries import broadcast_expressions, list_sources
    from mmdit.runtime.results import check_threshold
    from mmdit.runtime.wording import hint_at_two
    from mmdit.runtime.writing import ResultWriter

    if args.onnx is not None:
        _check_onnx_options(args)
    shows: dict[str, list] = {}
    if args.point:
        shows['point_coords'] = [point[:2] for point in args.point]
        shows['point_labels'] = [point[2] for point in args.point]
    if args.box:
        shows['box'] = args.box
    given = [e for e in (args.expression, *args.expr) if e is not None]
    if shows and not given:
        given = [None]
    images = list_sources(args.image)
    shared, known = broadcast_expressions(given, len(images)), set(images)
    for hint in filter(None, map(hint_at_two, filter(None, given))):
        sys.stderr.write(f'{hint}; give --expr "..." "..." for several\n')
    model = _load(args)
    if shows:
        _check_prompts(args, images, model)
    threshold = model.threshold if args.threshold is None else args.threshold
    settings = dict(
        mmdit=__version__,
        model=model.fingerprint(),
        threshold=check_threshold(threshold),
        **shows,
    )
    with ResultWriter(args.out_dir, settings) as writer:
        _tell_replaced(writer.replaced, settings)
        for row in writer.rows():
            if row['image'] in known and row['expression'] in given:
                _show(row)
        left = [
            [e for e in entry if (image, e) not in writer.kept]
            for image, entry in zip(images, shared, strict=True)
        ]
        failed: list[str] = []
        if any(left):
            rows = model.iterate(
                images,
                left,
                args.batch_size,
                threshold=threshold,
                return_vis=True,
                **{
                    key: [value] * len(left[0]) for key, value in shows.items()
                },
            )
            failed = _write(writer, rows, args.on_error == 'stop')
    if args.format:
        from mmdit.runtime.formats import write_formats

        write_formats(args.out_dir, args.format, args.max_pixels)
    for line in failed:
        sys.stderr.write(f'error: {line}\n')
    if len(images) > 1 and failed:
        sys.stderr.write(f'error: {len(failed)} failures\n')
    sys.stdout.write(f'model: {model.description}\n')
    sys.stdout.write(f'written to {args.out_dir}\n')
    return 1 if failed else 0


def _write(
    writer: 'ResultWriter', rows: Iterable[dict], stop: bool
) -> list[str]:
    """Write and show predictions as they come; return what failed."""
    failed = []
    for row in rows:
        if 'error' not in row:
            writer.write(row, row['overlay'])
            _show(row)
        elif stop:
            raise row['error']
        else:
            reason = sentence(row['error'])
            image = str(row['image'])
            failed.append(reason if image in reason else f'{image}: {reason}')
    return failed


def _show(row: dict) -> None:
    """Tell what was found."""
    from mmdit.runtime.wording import tell_unread

    found = 'nothing found'
    if row['box'] is not None:
        box = ','.join(map(str, row['box']))
        found = f'score {row["score"]:.3f}  box {box}'
    if note := tell_unread(row):
        found += f'  ({note})'
    expression = row['expression'] or 'what is shown'
    sys.stdout.write(f'{row["image"]}: {expression}: {found}\n')
    sys.stdout.flush()


def _tell_replaced(earlier: Any, settings: dict) -> None:
    """Say why predictions that were there are not used."""
    if earlier is None:
        return
    keys = [*settings, *(key for key in earlier if key not in settings)]
    names = [k for k in keys if earlier.get(k) != settings.get(k)]
    sys.stderr.write(
        f'predictions of an earlier call are replaced: {", ".join(names)} '
        'differ\n'
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and run it; return the exit status."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(argv)
    nothing = args.expression is None and not args.expr
    if nothing and not (args.point or args.box):
        parser.error(
            'no expression; give one after the image, in quotes, or --point '
            'or --box'
        )
    return guard(lambda: run(args))
