"""Checks of a JSON-lines file, with its images and masks.

Nothing stops at the first finding: a ``JSONLReport`` holds all, so that one
run says everything there is to repair.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from .images import Finding, ImageJob, check_image
from .rows import Row, join_mask, read_rows

# Of the default 20 text tokens two are BERT's own, and words may be split.
_MAX_WORDS = 18
# Images are handed over in packs, which costs less than one by one.
_PACK = 16

# Kind of problem: whether a run stops at it, and what to do.
KINDS = {
    'broken rows': (True, 'correct the line'),
    'missing images': (True, 'correct path or --image-root'),
    'unreadable images': (True, 'replace the file'),
    'missing masks': (True, 'correct path or --mask-root'),
    'unusable masks': (True, 'correct the mask'),
    'empty masks': (True, 'correct mask or set no_target'),
    'polygons outside': (False, 'does the mask belong to this image?'),
    'full masks': (False, 'is the background 0 in the mask?'),
    'masks of many values': (False, 'all but 0 is the referent'),
    'turned images': (False, 'masks must fit it unturned'),
    'repeated rows': (False, 'they count more than once'),
    'ambiguous expressions': (False, 'same image and words, other mask'),
    'long expressions': (False, 'shorten, or raise max_tokens'),
}

Track = Callable[[Iterable, int], Iterable]


@dataclass
class JSONLReport:
    """What a file holds, and all that is wrong with it.

    Attributes:
        path: The file.
        rows: Number of rows, broken ones among them.
        images: Number of different images.
        words: Number of words of each different expression, sorted.
        masks: Number of rows with each kind of mask.
        areas: Share of the image that each mask covers, 0 to 1, sorted.
        findings: All problems, by line.
    """

    path: str
    rows: int = 0
    images: int = 0
    words: list[int] = field(default_factory=list)
    masks: Counter = field(default_factory=Counter)
    areas: list[float] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """Whether no row would stop a run."""
        return self.rows > 0 and not self.lines(fatal=True)

    def lines(self, *, fatal: bool) -> set[int]:
        """Return the lines with errors, or the lines with warnings."""
        return {f.line for f in self.findings if KINDS[f.kind][0] is fatal}

    def by_kind(self) -> dict[str, list[Finding]]:
        """Return the findings of each kind that occurs, errors first."""
        found: dict[str, list[Finding]] = {kind: [] for kind in KINDS}
        for finding in self.findings:
            found[finding.kind].append(finding)
        return {kind: cases for kind, cases in found.items() if cases}


def check_jsonl(
    path: str | Path,
    *,
    image_root: str | Path | None = None,
    mask_root: str | Path | None = None,
    workers: int = 1,
    track: Track = lambda items, total: items,
) -> JSONLReport:
    """Check every row, with its image and mask.

    Args:
        path: The JSON-lines file.
        image_root: What relative paths of images start from, by default the
            folder of the file.
        mask_root: The same for masks.
        workers: Number of processes.
        track: Shows progress: called with an iterable and its length, it
            iterates over the same.
    """
    report = JSONLReport(str(path))
    rows: dict[int, Row] = {}
    for line, row in read_rows(path):
        report.rows += 1
        if isinstance(row, Row):
            rows[line] = row
        else:
            report.findings.append(Finding(line, 'broken rows', str(row)))
    expressions = {row.expression for row in rows.values()}
    report.words = sorted(len(text.split()) for text in expressions)
    report.masks = Counter(_kind(row) for row in rows.values())
    report.findings += _long_expressions(rows)
    report.findings += _same_expressions(rows)
    folder = os.path.dirname(path)
    jobs = _image_jobs(rows, image_root or folder, mask_root or folder)
    report.images = len(jobs)
    for findings, areas in _run(jobs, workers, track):
        report.findings += findings
        report.areas += areas
    report.findings.sort()
    report.areas.sort()
    return report


def _kind(row: Row) -> str:
    """Return what sort of mask a row has."""
    if row.no_target:
        return 'no target'
    return {str: 'PNG', dict: 'RLE', list: 'polygons'}[type(row.mask)]


def _long_expressions(rows: dict[int, Row]) -> Iterator[Finding]:
    for line, row in rows.items():
        words = row.expression.split()
        if len(words) > _MAX_WORDS:
            case = f'{len(words)} words: {" ".join(words[:6])} ...'
            yield Finding(line, 'long expressions', case)


def _same_expressions(rows: dict[int, Row]) -> Iterator[Finding]:
    """Find rows that say of an image what an earlier row says of it."""
    first: dict[tuple[str, str], int] = {}
    for line, row in rows.items():
        earlier = first.setdefault((row.image, row.expression), line)
        if earlier == line:
            continue
        same = row.mask == rows[earlier].mask
        kind = 'repeated rows' if same else 'ambiguous expressions'
        case = f'"{row.expression}" of {row.image}, as in line {earlier}'
        yield Finding(line, kind, case)


def _image_jobs(
    rows: dict[int, Row], image_root: str | Path, mask_root: str | Path
) -> list[ImageJob]:
    """Return a job for each image, so that it is opened once."""
    by_image = defaultdict(list)
    for line, row in rows.items():
        mask = join_mask(mask_root, row.mask)
        by_image[row.image].append((line, mask, row.no_target))
    return [
        ImageJob(os.path.join(image_root, image), of_image)
        for image, of_image in by_image.items()
    ]


def _run(
    jobs: list[ImageJob], workers: int, track: Track
) -> Iterator[tuple[list[Finding], list[float]]]:
    if workers == 1:
        yield from track(map(check_image, jobs), len(jobs))
        return
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(check_image, jobs, chunksize=_PACK)
        yield from track(results, len(jobs))
