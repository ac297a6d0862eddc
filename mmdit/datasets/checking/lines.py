"""Checks of a JSON-lines file, with its images and masks."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from mmdit.shards import find_member, read_bytes

from ..reading.rows import FORMAT, Row, join_mask, read_rows
from .items import Job, Track, check_item, run
from .report import Finding, LinesReport

# Of the default 20 text tokens two are BERT's own, and words may be split.
_MAX_WORDS = 18


def check_jsonl(
    path: str | Path,
    *,
    image_root: str | Path | None = None,
    mask_root: str | Path | None = None,
    workers: int = 1,
    turn_by_exif: bool = False,
    track: Track = lambda items, total, description: items,
) -> LinesReport:
    """Check every row, with its image and mask.

    Args:
        path: The JSON-lines file.
        image_root: What relative paths of images start from, by default the
            folder of the file.
        mask_root: The same for masks.
        workers: Number of processes.
        turn_by_exif: As in ``LoadReferImage``.
        track: Shows progress: called with an iterable, its length and what is
            done; iterates over the same.
    """
    report = LinesReport(str(path))
    folder = os.path.dirname(path)
    roots = image_root or folder, mask_root or folder
    rows: dict[int, Row] = {}
    findings: list[Finding] = []
    for line, row in read_rows(path, *roots):
        report.rows += 1
        if isinstance(row, Row):
            rows[line] = row
        else:
            findings.append(Finding('broken rows', _name(line), str(row)))
    if not report.rows:
        findings.append(Finding('unreadable files', f'no rows; {FORMAT}'))
    expressions = {row.expression for row in rows.values()}
    report.words = sorted(len(text.split()) for text in expressions)
    report.masks = Counter(_kind(row) for row in rows.values())
    findings += _long_expressions(rows)
    findings += _same_expressions(rows)
    jobs = list(_jobs(rows, *roots, turn_by_exif))
    report.images = {job.path for job in jobs if job.path}
    for found, areas in run(check_item, jobs, workers, track, 'images'):
        findings += found
        report.areas += areas
    # By line; "line 2" stands before "line 10".
    findings.sort(key=lambda found: (len(found.where), found.where))
    report.add(findings)
    report.areas.sort()
    return report


def shared_images(
    report: LinesReport, earlier: Iterable[LinesReport]
) -> Iterator[Finding]:
    """Find images of files that were checked before, by what they hold."""
    files = {path: other.path for other in earlier for path in other.images}
    # Only files of equal sizes can be equal.
    sizes = set(map(_size, files)) & set(map(_size, report.images)) - {0}
    copies = {_digest(path): path for path in files if _size(path) in sizes}
    for path in sorted(report.images):
        same = path if path in files else None
        if same is None and _size(path) in sizes:
            same = copies.get(_digest(path))
        if same is not None:
            alias = '' if path == same else f' as {same}'
            yield Finding('images of another file', path, files[same] + alias)


def _digest(path: str) -> bytes:
    """Return what equal files share."""
    return sha256(read_bytes(path)).digest()


def _size(path: str) -> int:
    """Return the bytes of a file, 0 where there is none."""
    with suppress(OSError, ValueError):
        if member := find_member(path):
            return member[-1]
    return os.path.getsize(path) if os.path.isfile(path) else 0


def _name(line: int) -> str:
    return f'line {line}'


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
            yield Finding('long expressions', _name(line), case)


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
        yield Finding(kind, _name(line), case)


def _jobs(
    rows: dict[int, Row],
    image_root: str | Path,
    mask_root: str | Path,
    turn: bool,
) -> Iterator[Job]:
    """Return a job for each image, so that it is opened once."""
    by_image = defaultdict(list)
    for line, row in rows.items():
        said = row.turn_by_exif
        turned = turn if said is None else said
        by_image[row.image, row.size, turned].append((line, row))
    for (image, size, turned), of_image in by_image.items():
        yield Job(
            [_name(line) for line, _ in of_image],
            os.path.join(image_root, image),
            size,
            [
                (_name(line), join_mask(mask_root, row.mask), row.no_target)
                for line, row in of_image
            ],
            turned,
        )
