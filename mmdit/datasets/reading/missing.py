"""What to say of the files of a data set that are not there."""

from collections.abc import Mapping
from pathlib import Path

from .values import PREPARE

# Which class reads the files of which name.
READERS = {
    family: f"type='{name}', as in configs/_base_/datasets/{config}.py"
    for family, name, config in (
        ('refs', 'RefCOCODataset', 'refcoco_512x512'),
        ('grefs', 'GRefCOCODataset', 'grefcoco_512x512'),
    )
}


def list_missing(refs_path: Path) -> list[str]:
    """Say which of both annotation files of a data set do not exist."""
    instances = refs_path.parent / 'instances.json'
    missing = [] if instances.is_file() else [describe_instances(instances)]
    # Where there is not a folder, that says it all.
    if refs_path.parent.is_dir() and not refs_path.is_file():
        missing.append(describe_refs(refs_path))
    return missing


def list_missing_folders(data_prefix: Mapping[str, str]) -> list[str]:
    """Say which folders of images or masks do not exist.

    Args:
        data_prefix: Their paths by key, as of a data set that is built;
            places of MMEngine's other storages (``s3://...``) are skipped.
    """
    return [
        f'{folder} does not exist; expected a folder there: put it there, or '
        f'set data_prefix=dict({key}=...) of the data set ({PREPARE})'
        for key, folder in data_prefix.items()
        if '://' not in folder and not Path(folder).is_dir()
    ]


def describe_refs(path: Path) -> str:
    """Say which refs files are there instead, and how to read them."""
    found: dict[str, list[str]] = {
        family: sorted(file.name for file in path.parent.glob(f'{family}(*)*'))
        for family in READERS
    }
    family = 'grefs' if path.name.startswith('grefs') else 'refs'
    other = 'refs' if family == 'grefs' else 'grefs'
    here = found[family] or found[other]
    advice = 'set split_by to the name in brackets'
    if found[other] and not found[family]:
        advice = f'to read this format, set {READERS[other]}'
    return (
        f'{path} does not exist; {path.parent} holds '
        f'{", ".join(here) or f"no {family}(*) file at all"}: {advice} '
        f'({PREPARE})'
    )


def describe_instances(path: Path) -> str:
    """Say that a data set is not there, and which are."""
    root = path.parent.parent
    others = sorted({p.parent.name for p in root.glob('*/*refs(*)*')})
    here = ', '.join(others) or 'no data set'
    return (
        f'{path} does not exist; expected the COCO-format annotations there, '
        f'next to refs(<split_by>).p ({root} holds {here}): {PREPARE}'
    )
