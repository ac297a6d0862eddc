"""What a check of a data set found, and what that means."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .counts import PUBLIC_COUNTS, Counts

_ONE_SOURCE = 'refs and instances.json must come from the same download'
# What is wrong: how bad it is, and what helps. Training stops at 'broken'.
KINDS = {
    'unreadable files': ('broken', ''),
    'malformed refs': ('broken', 'download the refs again'),
    'refs without annotation': ('broken', _ONE_SOURCE),
    'refs without image entry': ('broken', _ONE_SOURCE),
    "refs with another image's annotation": ('broken', _ONE_SOURCE),
    'empty expressions': ('broken', 'leave them out by skip_sent_ids'),
    'missing images': ('broken', 'name their folder by --images'),
    'unreadable images': ('broken', 'download them again'),
    'images of another size': ('broken', 'use the original images'),
    'undrawable masks': ('broken', 'download instances.json again'),
    'empty masks': ('broken', 'leave their sentences out by skip_sent_ids'),
    'masks far outside': ('broken', 'download instances.json again'),
    'empty parts': ('warning', 'other parts of the mask have pixels'),
    'short polygons': ('warning', 'they enclose nothing and are ignored'),
    'refs without sentences': ('warning', 'they are left out'),
    'duplicated sent_ids': ('warning', 'results by sent_id are ambiguous'),
    'images in train and another split': (
        'warning',
        'results on that split are too good',
    ),
    'images in train and another split (known)': (
        'note',
        'the google splits divide objects, not images: do not compare their '
        'results with those of other splits',
    ),
}


Finding = tuple[str, str]


@dataclass
class SetReport:
    """What was found in one data set.

    Attributes:
        dataset: Its folder, such as ``refcoco``.
        split_by: Who split it, such as ``unc``.
        counts: Counts of each split, and of ``all`` together.
        problems: Every case of each kind of problem that was met.
        images: File names of the images of each split.
        unchecked: What the caller asked to leave out.
    """

    dataset: str
    split_by: str
    counts: dict[str, Counts] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, set[str]] = field(default_factory=dict)
    unchecked: list[str] = field(default_factory=list)

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
    def broken(self) -> bool:
        """Whether training or testing would stop at a problem."""
        return bool(self._of_level('broken'))

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
    def verdict(self) -> str:
        """The result in one line."""
        if self.broken:
            return f'{self.name}: BROKEN: {self._of_level("broken")}'
        parts = [self._completeness()]
        if self._of_level('warning'):
            parts.append(f'but {self._of_level("warning")}')
        if self.unchecked:
            parts.append(f'{" and ".join(self.unchecked)} not checked')
        return f'{self.name}: {"; ".join(parts)}'

    def add(self, findings: Iterable[Finding]) -> None:
        """Add cases of problems, each with its kind."""
        for kind, case in findings:
            self.problems.setdefault(kind, []).append(case)

    def _of_level(self, level: str) -> str:
        """Name the problems of a level, with their counts."""
        return ', '.join(
            f'{kind} ({len(self.problems[kind]):,})'
            for kind in KINDS
            if kind in self.problems and KINDS[kind][0] == level
        )

    def _completeness(self) -> str:
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
