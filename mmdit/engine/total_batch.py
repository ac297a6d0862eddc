"""The total batch, and the learning rate that belongs to it."""

from mmengine.config import Config

KEY = 'auto_scale_lr'


def scale_learning_rate(cfg: Config) -> None:
    """Let the learning rate follow the total batch, linearly.

    Args:
        cfg: The config of a training, changed in place.

    Raises:
        ValueError: It does not say to which batch its learning rate belongs.
    """
    if 'base_batch_size' not in cfg.get(KEY, {}):
        raise ValueError(
            f'--auto-scale-lr needs {KEY}=dict(base_batch_size=...) in the '
            'config: the total batch to which its learning rate belongs'
        )
    cfg[KEY].enable = True


def describe_batch(cfg: Config, processes: int) -> str | None:
    """Compare the total batch with that of the recipe, in one line.

    Args:
        cfg: The config of a training.
        processes: How many take part in it.

    Returns:
        The line; None where the config does not say what to compare with.
    """
    base = (cfg.get(KEY) or {}).get('base_batch_size')
    rate = (cfg.get('optim_wrapper') or {}).get('optimizer', {}).get('lr')
    batch = (cfg.get('train_dataloader') or {}).get('batch_size')
    if not base or not rate or not batch:
        return None
    total = processes * batch
    line = (
        f'total batch {total} ({processes} x {batch}), the recipe: batch '
        f'{base} at learning rate {rate:g}'
    )
    if total == base:
        return f'{line}, as here'
    scaled = f'{rate * total / base:g}'
    if cfg[KEY].get('enable'):
        return f'{line}; --auto-scale-lr makes it {scaled} here'
    return (
        f'{line}, as here: give --auto-scale-lr for {scaled}, or a '
        f'train_dataloader.batch_size of {max(1, base // processes)}'
    )
