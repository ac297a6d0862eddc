"""``python -m mmdit`` is the command ``mmdit``."""

from mmdit.cli.main import main

if __name__ == '__main__':
    raise SystemExit(main())
