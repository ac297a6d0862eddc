"""Arguments that were called otherwise, for configs that are older."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

T = TypeVar('T', bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[T], T]:
    """Let a constructor take arguments under their former names, and warn.

    Args:
        names: The present name of each former one.
    """

    def decorate(init: T) -> T:
        @wraps(init)
        def take(self: Any, *args: Any, **kwargs: Any) -> None:
            init(self, *args, **rename(kwargs, names, type(self).__name__))

        return take  # type: ignore[return-value]

    return decorate


def rename(settings: dict, names: dict[str, str], owner: str) -> dict:
    """Return a copy with present names for former ones, and warn."""
    settings = dict(settings)
    for old, new in names.items():
        if old in settings:
            settings[new] = settings.pop(old)
            warnings.warn(
                f'{old!r} of {owner} is called {new!r} now: write '
                f'{new}={settings[new]!r}; later versions will not know it',
                FutureWarning,
                stacklevel=4,
            )
    return settings
