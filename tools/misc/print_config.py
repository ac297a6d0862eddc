"""Print a config, as MM projects do: ``mmdit config`` by another name."""

from mmdit.cli.config import main

if __name__ == '__main__':
    main()
