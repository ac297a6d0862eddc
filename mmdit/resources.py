"""Files that come with mmdit but are no Python package: configs and tools.

An installed mmdit carries them in ``mmdit/.mim``, as MM projects do; in a
checkout they lie beside the package. Nothing here needs torch.
"""

from contextlib import suppress
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / '.mim', _PACKAGE.parent)


def find_resource(name: str | PathLike) -> Path:
    """Find a file that comes with mmdit.

    Args:
        name: Its path in the repository, such as ``'model-index.yml'``.

    Raises:
        FileNotFoundError: Where mmdit has no such file.
    """
    for root in _ROOTS:
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(
        f'mmdit comes without {str(name)!r}; expected a path in its '
        'repository, such as configs/ldit_vith.py'
    )


def list_configs() -> dict[str, Path]:
    """Map the name of every config to its file, without base configs."""
    folder = find_resource('configs/_base_/default_runtime.py').parents[1]
    paths = sorted(folder.rglob('*.py'))
    return {path.stem: path for path in paths if '_base_' not in path.parts}


def resolve_config(name: str | PathLike) -> Path:
    """Find a config by its path or by its name alone.

    Args:
        name: What names it; the first that fits is taken: a file; a path in
            mmdit's repository (``configs/dit/NAME.py``), wherever one is;
            the file name of a config that comes with mmdit, with or without
            ``.py``.

    Raises:
        FileNotFoundError: Where nothing fits, with the nearest names.
    """
    if Path(name).is_file():
        return Path(name)
    with suppress(FileNotFoundError):
        return find_resource(name)
    configs = list_configs()
    stem = Path(name).name.removesuffix('.py')
    if str(name) in (stem, f'{stem}.py') and stem in configs:
        return configs[stem]
    near = get_close_matches(stem, configs, cutoff=0.7)
    advice = f'; did you mean {" or ".join(near)}?' if near else ''
    raise FileNotFoundError(
        f'config {str(name)!r} does not exist; expected the path of a config '
        f'file or the name of a config that comes with mmdit{advice}'
    )
