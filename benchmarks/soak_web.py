"""Visit ``mmdit web`` for hours, and record what its process holds.

    python benchmarks/soak_web.py --minutes 120 --visitors 50 --out soak.csv

Each visitor uploads an image, queries, clicks, moves the threshold, downloads,
leaves, and comes back as another. Once every ten seconds a row tells what the
server holds: memory, open files, and its temporary files.
"""

import argparse
import csv
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'tests'))
from web_visitor import Visitor  # noqa: E402

# The first ones as of soak.py, for plot_soak.py.
COLUMNS = (
    'time_s',
    'rss_mb',
    'descriptors',
    'temp_files',
    'temp_mb',
    'calls',
    'threads',
    'failures',
)
INTERVAL = 10  # seconds between rows
WORDS = ['red', 'blue', 'left', 'right', 'small', 'large', 'star', 'thing']
SERVER = """
import sys
from mmdit.cli import web

if len(sys.argv) == 1:
    import mmdit.apis
    from stand_in import StandIn
    mmdit.apis.ReferringSegInferencer = StandIn
    sys.argv.append('constant')
sys.exit(web.main())
"""


def make_parser():
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=120)
    parser.add_argument('--visitors', type=int, default=50)
    parser.add_argument('--out', type=Path, default=Path('soak_web.csv'))
    parser.add_argument(
        '--model',
        nargs='+',
        default=[],
        metavar='ARGUMENT',
        help='CONFIG and WEIGHTS of mmdit web (default: a stand-in that '
        'predicts at once, so that the page has the most to do)',
    )
    return parser


def make_image(rng):
    """Return an encoded photograph of noise, 0.1 to 1 megapixel."""
    size = rng.randrange(300, 1000)
    noise = np.random.default_rng(rng.randrange(1 << 30))
    pixels = noise.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
    content = BytesIO()
    Image.fromarray(pixels).resize((size, size)).save(content, 'JPEG')
    return content.getvalue()


def visit(address, rng):
    """Do what a visitor does, once; raise where it is an error."""
    visitor = Visitor(address)
    try:
        outputs = [visitor.open(make_image(rng), 'photo.jpg'), visitor.show()]
        for _ in range(rng.randrange(1, 4)):
            text = '\n'.join(rng.sample(WORDS, rng.randrange(1, 4)))
            outputs += [visitor.query(text), visitor.show()]
        selected = text.split('\n')[0]
        # The image's click; a place on the canvas.
        click = dict(index=[rng.randrange(700), rng.randrange(700)])
        outputs.append(visitor.click(selected, click))
        outputs.append(visitor.show(rng.uniform(0.1, 0.9), selected))
        for kind in range(2):
            output = visitor.download(kind)
            outputs.append(output)
            found = visitor.web.get(output['data'][0].removeprefix('.'))
            found.raise_for_status()
        for output in outputs:
            if 'data' not in output:
                raise RuntimeError(output)
    finally:
        visitor.close()


def keep_visiting(address, seed, end, server, counts):
    """Come back until the time is over."""
    rng = random.Random(seed)
    while time.monotonic() < end and server.poll() is None:
        try:
            visit(address, rng)
            counts['calls'] += 1
        except Exception:
            counts['failures'] += 1
            sys.stderr.write(traceback.format_exc(limit=-8))
            time.sleep(1)


def measure(number, folder):
    """Return what a process holds."""
    status = Path(f'/proc/{number}/status').read_text()
    rss, threads = (
        int(re.search(rf'^{key}:\s+(\d+)', status, re.MULTILINE)[1])
        for key in ('VmRSS', 'Threads')
    )
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            # A file may go between the two calls.
            with suppress(FileNotFoundError):
                sizes.append(os.path.getsize(os.path.join(place, name)))
    return dict(
        rss_mb=round(rss / 1024, 1),
        threads=threads,
        descriptors=len(os.listdir(f'/proc/{number}/fd')),
        temp_files=len(sizes),
        temp_mb=round(sum(sizes) / 1e6, 2),
    )


def soak(arguments, folder):
    """Serve and visit; return the number of failures."""
    path = os.pathsep.join([str(ROOT), str(ROOT / 'benchmarks')])
    server = subprocess.Popen(
        [sys.executable, '-u', '-c', SERVER, *arguments.model],
        env=os.environ | dict(TMPDIR=folder, PYTHONPATH=path),
        stdout=subprocess.PIPE,
        text=True,
    )
    counts = dict(calls=0, failures=0)
    try:
        line = next(x for x in server.stdout if 'http://' in x)
        # Gradio calls itself first, and speaks of share=True thereafter.
        next(x for x in server.stdout if 'share=' in x)
        begin = time.monotonic()
        end = begin + arguments.minutes * 60
        address = line.split()[-1].rstrip('/')
        threads = [
            threading.Thread(
                target=keep_visiting, args=(address, seed, end, server, counts)
            )
            for seed in range(arguments.visitors)
        ]
        for thread in threads:
            thread.start()
        with arguments.out.open('w', newline='') as file:
            table = csv.DictWriter(file, COLUMNS)
            table.writeheader()
            while time.monotonic() < end and server.poll() is None:
                row = measure(server.pid, folder) | counts
                row['time_s'] = round(time.monotonic() - begin)
                table.writerow(row)
                file.flush()
                time.sleep(INTERVAL)
        for thread in threads:
            thread.join()
        if server.poll() is not None:
            raise RuntimeError(f'the page stopped: status {server.poll()}')
    finally:
        server.terminate()
        server.wait(60)
        server.stdout.close()
    left = [str(path) for path in Path(folder).iterdir()]
    if left:
        raise RuntimeError(f'the page left {left}')
    return counts['failures']


def main():
    """Run the command; return its exit status."""
    arguments = make_parser().parse_args()
    # So that the server is stopped as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        return min(soak(arguments, folder), 1)


if __name__ == '__main__':
    raise SystemExit(main())
