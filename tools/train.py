"""Train a model, as MM projects do: ``mmdit train`` by another name."""

from mmdit.cli.train import main

if __name__ == '__main__':
    main()
