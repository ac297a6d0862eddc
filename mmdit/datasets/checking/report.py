"""What a check of a data set found, and what that means."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..reading.segmentations import FLAWS
from .counts import PUBLIC_COUNTS, Counts

_ONE_SOURCE = 'refs and instances.json must come from the same download'
_LEAVE_OUT = 'correct them, or leave their sentences out (skip_sent_ids)'
# What is wrong: how bad it is, and what helps. Training stops at 'broken'.
KINDS = {
    'unreadable files': ('broken', ''),
    'unusable ids': ('broken', 'correct the file, or download it again'),
    'malformed refs': ('broken', 'correct them, or download the refs again'),
    'broken rows': ('broken', 'correct the line'),
    'refs without annotation': ('broken', _ONE_SOURCE),
    'refs without image entry': ('broken', _ONE_SOURCE),
    "refs with another image's annotation": ('broken', _ONE_SOURCE),
    'unusable image entries': ('broken', 'correct instances.json'),
    'empty expressions': ('broken', 'leave them out by skip_sent_ids'),
    'unusable expressions': ('broken', _LEAVE_OUT),
    'missing images': ('broken', 'correct the name, or the folder of images'),
    'unreadable images': ('broken', 'replace the files'),
    'images of another size': ('broken', 'use the original images'),
    'missing masks': ('broken', 'correct the path, or the folder of masks'),
    'undrawable masks': ('broken', 'correct the mask'),
    'empty masks': ('broken', f'{_LEAVE_OUT}, or set no_target'),
    'turned images': ('warning', 'masks fit the pixels as stored; see docs'),
    **{kind: ('warning', f'they {what}') for kind, what in FLAWS.items()},
    'empty parts': ('warning', 'other parts of the mask have pixels'),
    'full masks': ('warning', 'is the background 0 in the mask?'),
    'masks of many values': ('warning', 'all but 0 is the referent'),
    'repeated rows': ('warning', 'they count more than once'),
    'ambiguous expressions': ('warning', 'same image and words, other mask'),
    'long expressions': ('warning', 'shorten, or raise max_tokens'),
    'refs without sentences': ('warning', 'they are left out'),
    'duplicated sent_ids': ('warning', 'results by sent_id are ambiguous'),
    'images in train and another split': (
        'warning',
        'results on that split are too good',
    ),
    'images of another file': (
        'warning',
        'a file to score with must not share images with one to train on',
    ),
    'images in train and another split (known)': (
        'note',
        'the google splits divide objects, not images: do not compare their '
        'results with those of other splits',
    ),
}


class Finding(NamedTuple):
    """One case of one kind of problem: where it is, and perhaps more."""

    kind: str
    where: str
    case: str = ''


@dataclass
class Report:
    """All that is wrong with a data set.

    Attributes:
        problems: Every case of each kind of problem that was met.
        unchecked: What the caller asked to leave out.
    """

    problems: dict[str, list[str]] = field(default_factory=dict, kw_only=True)
    unchecked: list[str] = field(default_factory=list, kw_only=True)

    @property
    def name(self) -> str:
        """What the verdict calls the set."""
        raise NotImplementedError

    @property
    def extent(self) -> str:
        """What a set that works holds, in a few words."""
        raise NotImplementedError

    @property
    def broken(self) -> bool:
        """Whether training or testing would stop at a problem."""
        return bool(self.of_level('broken'))

    @property
    def status(self) -> str:
        """One of ``usable``, ``usable with warnings`` and ``broken``."""
        if self.broken:
            return 'broken'
        return f'usable{" with warnings" if self.of_level("warning") else ""}'

    @property
    def verdict(self) -> str:
        """The result in one line."""
        if self.broken:
            return f'{self.name}: BROKEN: {self.of_level("broken")}'
        parts = [self.extent]
        if self.of_level('warning'):
            parts.append(f'but {self.of_level("warning")}')
        if self.unchecked:
            parts.append(f'{" and ".join(self.unchecked)} not checked')
        return f'{self.name}: {"; ".join(parts)}'

    def add(self, findings: Iterable[tuple]) -> None:
        """Add findings, in their order."""
        for kind, *texts in findings:
            case = ': '.join(text for text in texts if text)
            self.problems.setdefault(kind, []).append(case)

    def of_level(self, level: str) -> str:
        """Name the problems of a level, with their counts."""
        return ', '.join(
            f'{kind} ({len(self.problems[kind]):,})'
            for kind in KINDS
            if kind in self.problems and KINDS[kind][0] == level
        )


@dataclass
class LinesReport(Report):
    """What was found in a JSON-lines file.

    Attributes:
        path: The file.
        rows: Number of rows, broken ones among them.
        images: Paths of the images.
        words: Number of words of each different expression, sorted.
        masks: Number of rows with each kind of mask.
        areas: Share of the image that each mask covers, 0 to 1, sorted.
    """

    path: str
    rows: int = 0
    images: set[str] = field(default_factory=set)
    words: list[int] = field(default_factory=list)
    masks: Counter = field(default_factory=Counter)
    areas: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Path of the file."""
        return self.path

    @property
    def extent(self) -> str:
        """Number of rows."""
        return f'OK, {self.rows:,} rows'


@dataclass
class SetReport(Report):
    """What was found in one data set of the RefCOCO family.

    Attributes:
        dataset: Its folder, such as ``refcoco``.
        split_by: Who split it, such as ``unc``.
        counts: Counts of each split, and of ``all`` together.
        images: File names of the images of each split.
    """

    dataset: str
    split_by: str
    counts: dict[str, Counts] = field(default_factory=dict)
    images: dict[str, set[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the set, such as ``refcoco (unc)``."""
        return f'{self.dataset} ({self.split_by})'

    @property
    def public(self) -> dict[str, Counts]:
        """The published counts by split, where there are any."""
        return PUBLIC_COUNTS.get((self.dataset, self.split_by), {})

    @property
    def held_out_images(self) -> set[str]:
        """File names of the images of every split but ``train``."""
        return set().union(
            *(self.images[split] for split in self.images if split != 'train')
        )

    @property
    def different(self) -> list[str]:
        """Splits whose counts are not the published ones."""
        return [
            split
            for split, public in self.public.items()
            if any(
                expected is not None and expected != got
                for expected, got in zip(
                    public, self.counts.get(split, (0, 0, 0)), strict=True
                )
            )
        ]

    @property
    def extent(self) -> str:
        """How the counts compare with the published ones."""
        if not self.public:
            return 'OK, no published counts to compare with'
        if not self.different:
            return 'OK, complete'
        return f'usable, not the full set ({self._extent()})'

    def _extent(self) -> str:
        """Say how the set differs from the published one."""
        whole = self.public.get('all') or _add_up(self.public.values())
        names = ('refs', 'sentences')
        got_whole = self.counts['all']
        for name, got, known in zip(names, got_whole, whole, strict=False):
            if known is not None and got is not None and got < known:
                return f'{got:,} of {known:,} {name}'
        return f'other counts in {", ".join(self.different)}'


def _add_up(splits: Iterable[Counts]) -> Counts:
    """Return the counts of all splits together, as far as they are known."""

    def total(numbers: tuple[int | None, ...]) -> int | None:
        known = [number for number in numbers if number is not None]
        return sum(known) if len(known) == len(numbers) else None

    refs, sentences, _ = zip(*splits, strict=True)
    # Splits may share images.
    return Counts(total(refs), total(sentences), None)
