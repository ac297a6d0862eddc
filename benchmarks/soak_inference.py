"""Run a tiny model for hours on good and broken images.

Images have many sizes and kinds; some are cut, damaged or no images at all.
They come as paths, bytes, open files, arrays and folders. A call of the CSV
is a call of the inferencer.

Example: ``python benchmarks/soak_inference.py --minutes 120 --out soak.csv``
"""

import argparse
import random
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from soak import Recorder, make_parser

from mmdit.apis import ReferringSegInferencer
from mmdit.cli.segment import main as segment
from mmdit.datasets.synthref import write_synthref
from mmdit.registry import MODELS
from mmdit.resources import resolve_config

_CONFIG = 'ldit_tiny_synthref-64x64'
_KINDS = ('PNG', 'JPEG', 'WEBP', 'GIF', 'BMP', 'TIFF', 'AVIF', 'JPEG2000')
_MODES = ('RGB', 'L', 'P', '1')
_EXPRESSIONS = (
    'the red circle',
    'large square',
    '狗',
    'caf\udce9',
    'x' * 3000,
)
# Some images are larger.
_MAX_PIXELS = 4_000_000


def make_model(folder: Path) -> tuple[Path, Path]:
    """Write the config and random weights of a tiny model."""
    write_synthref(folder / 'synthref', train=4, val=2)
    cfg = Config.fromfile(resolve_config(_CONFIG))
    cfg.model.text_encoder.vocab_file = str(folder / 'synthref/vocab.txt')
    config, weights = folder / 'config.py', folder / 'weights.pth'
    cfg.dump(config)
    with DefaultScope.overwrite_default_scope('mmdit'):
        torch.save(MODELS.build(cfg.model).state_dict(), weights)
    return config, weights


def make_image(rng: random.Random) -> bytes:
    """Draw an image of any kind and size, and damage one of three."""
    width = rng.choice([1, 3, 17, 64, 200, 300, 640])
    height = rng.choice([1, 5, 64, 200, 300, 480])
    if not rng.randrange(30):
        width, height = rng.choice([(2000, 1500), (3000, 2000)])
    seed = np.random.default_rng(rng.getrandbits(32))
    pixels = seed.integers(0, 256, (height, width, 3), np.uint8)
    file = BytesIO()
    image = Image.fromarray(pixels).convert(rng.choice(_MODES))
    kind = rng.choice(_KINDS)
    if kind in ('JPEG', 'WEBP', 'AVIF', 'JPEG2000', 'BMP'):
        image = image.convert('RGB')
    image.save(file, kind, **(dict(speed=10) if kind == 'AVIF' else {}))
    content = bytearray(file.getvalue())
    damage = rng.randrange(9)
    if damage == 0:
        del content[rng.randrange(len(content)) :]
    elif damage == 1:
        for _ in range(20):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif damage == 2:
        content = bytearray(rng.randbytes(rng.randrange(200)))
    return bytes(content)


def predict(inferencer: ReferringSegInferencer, rng: random.Random) -> Counter:
    """Call once with one to six images; count what comes back."""
    with TemporaryDirectory() as folder:
        sources: list = []
        for i in range(rng.randrange(1, 7)):
            content = make_image(rng)
            path = Path(folder, f'{i}.png')
            path.write_bytes(content)
            sources.append(
                rng.choice([str(path), path, content, BytesIO(content)])
            )
        words = rng.choices(_EXPRESSIONS, (20, 20, 5, 1, 1), k=2)
        found: Counter = Counter()
        try:
            for row in inferencer.iterate(
                rng.choice([sources, folder]), words, return_vis=True
            ):
                found['failed' if 'error' in row else 'predicted'] += 1
        # Of the expressions, two are rejected.
        except ValueError:
            found['rejected'] += 1
    return found


def run_shell(folder: Path, model: list[str], rng: random.Random) -> None:
    """Run the command on a folder, twice: the second finds all done."""
    with TemporaryDirectory() as photos:
        for i in range(3):
            Path(photos, f'{i}.png').write_bytes(make_image(rng))
        command = [photos, 'the red circle', *model, '--out-dir']
        with TemporaryDirectory() as out:
            for _ in range(2):
                segment([*command, out])


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    """Predict until the time is over."""
    args = parse_args()
    rng, found = random.Random(args.seed), Counter()
    with (
        TemporaryDirectory() as name,
        Recorder(args.out, args.minutes, args.interval) as recorder,
    ):
        config, weights = make_model(Path(name))
        inferencer = ReferringSegInferencer(
            config, weights, 'cpu', False, _MAX_PIXELS
        )
        model = [f'--model={config}', f'--weights={weights}', '--device=cpu']
        while recorder.running:
            found += predict(inferencer, rng)
            recorder.count()
            if recorder.calls % 50 == 0:
                run_shell(Path(name), model, rng)
    sys.stdout.write(f'{dict(found)}\n')


if __name__ == '__main__':
    main()
