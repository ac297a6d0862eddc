"""Publish a checkpoint, as MM projects do: ``mmdit convert IN OUT --hash``."""

import sys

from mmdit.cli.convert import main

if __name__ == '__main__':
    sys.argv.append('--hash')
    main()
