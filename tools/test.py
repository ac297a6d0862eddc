"""Score a checkpoint, as MM projects do: ``mmdit test`` by another name."""

from mmdit.cli.test import main

if __name__ == '__main__':
    main()
