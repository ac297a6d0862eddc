"""Measure how long a large data set takes to load, and its memory.

``python tools/analysis_tools/time_loading.py`` makes up a RefCOCO of 200,000
annotations and 142,000 sentences in a temporary folder, and loads it by ref,
then by sentence, in a fresh process each.
"""

import argparse
import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WORDS = ('the', 'a', 'man', 'woman', 'left', 'red', 'shirt', 'in', 'with')


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--annotations', type=int, default=200_000)
    parser.add_argument('--refs', type=int, default=50_000)
    parser.add_argument('--sentences', type=int, default=142_000)
    parser.add_argument('--images', type=int, default=20_000)
    parser.add_argument('--load', nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_dataset(root: Path, args: argparse.Namespace) -> None:
    """Write ``refcoco`` with polygons of 10 to 60 corners."""
    rng = np.random.default_rng(0)
    images = [
        dict(id=i, file_name=f'{i}.jpg', height=480, width=640)
        for i in range(args.images)
    ]
    annotations = [
        dict(
            id=i,
            image_id=i % args.images,
            category_id=1,
            iscrowd=0,
            segmentation=[
                (rng.random(2 * rng.integers(10, 60)) * 480).round(2).tolist()
            ],
        )
        for i in range(args.annotations)
    ]
    spoken = [
        ' '.join(rng.choice(WORDS, rng.integers(2, 8)))
        for _ in range(args.sentences)
    ]
    refs = [
        dict(
            ref_id=i,
            ann_id=i,
            image_id=i % args.images,
            split='train',
            sentences=[
                dict(sent_id=k, sent=spoken[k], raw=spoken[k], tokens=[])
                for k in range(i, args.sentences, args.refs)
            ],
        )
        for i in range(args.refs)
    ]
    folder = root / 'refcoco'
    folder.mkdir()
    content = dict(images=images, annotations=annotations)
    (folder / 'instances.json').write_text(json.dumps(content))
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=2))


def load(root: str, sample_by: str) -> None:
    """Load the data set, and print time and memory."""
    from mmdit.datasets import RefCOCODataset

    start = time.perf_counter()
    dataset = RefCOCODataset(data_root=root, sample_by=sample_by)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f'by {sample_by}: {len(dataset)} items, {seconds:.1f} s, '
        f'peak memory {peak:.2f} GiB'
    )


def main() -> None:
    """Make the files, and load them twice."""
    args = parse_args()
    if args.load:
        load(*args.load)
        return
    with tempfile.TemporaryDirectory() as root:
        write_dataset(Path(root), args)
        for sample_by in ('ref', 'sentence'):
            command = [sys.executable, __file__, '--load', root, sample_by]
            subprocess.run(command, check=True)


if __name__ == '__main__':
    main()
