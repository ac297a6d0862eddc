"""MMEngine's Runner for tests of what was trained before."""

from pathlib import Path

from mmengine.dist import master_only
from mmengine.runner import Runner


class ScoringRunner(Runner):
    """Keeps its config beside its log.

    MMEngine would write it over that of the training in the same work dir,
    with whatever the test overrides.
    """

    @master_only
    def dump_config(self) -> None:
        """Write the config into the folder of the log."""
        name = Path(self.cfg.filename or 'config.py').name
        self.cfg.dump(str(Path(self._log_dir) / name))


__all__ = ['ScoringRunner']
