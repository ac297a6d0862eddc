"""Segment an image: ``python demo/image_demo.py IMAGE "the man in red"``."""

import sys

from mmdit.cli.segment import main

if __name__ == '__main__':
    sys.exit(main())
