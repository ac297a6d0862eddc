"""Settings that change a model's numbers, but not the shapes of its weights.

E-DIT takes the weights of L-DIT, any model those of another mean, attention
or vocabulary. So checkpoints record the settings of the model that they were
trained in, and whoever loads one compares. What is recorded follows from the
constructors: each argument that the object keeps under its name.
"""

import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from .sources import find_source, strip_module

#: The record's key in ``meta`` of a checkpoint.
KEY = 'settings'
#: The same in the metadata of safetensors, which are strings.
METADATA_KEY = 'mmdit_settings'
#: Arguments that are not compared, and why.
NOT_COMPARED = {
    **dict.fromkeys(
        (
            *('refinement_clicks', 'dropout', 'frozen', 'loss_decode'),
            *('train_masks', 'train_points', 'zero_init'),
            *('frozen_stages', 'norm_eval'),
        ),
        'changes training only',
    ),
    **dict.fromkeys(
        ('attention_backend', 'non_blocking', 'with_cp'),
        'changes speed or memory only',
    ),
    **dict.fromkeys(
        ('init_cfg', 'pretrained', 'vocab_file'), 'a place, not a value'
    ),
    **dict.fromkeys(
        ('threshold', 'threshold_first'), 'chosen anew for each use'
    ),
}
#: The record's key of BERT's layers that a model computes.
TEXT_LAYERS = 'model.text_encoder.num_layers'
#: What the DIT authors' files do not say: how their release computes them.
RELEASE = {
    TEXT_LAYERS: 1,
    'model.decode_head.align_corners': True,
}
#: Arguments that were called otherwise when records were written.
FORMER = {
    'global_blocks': 'global_attn_indexes',
    'multimask': 'multimask_output',
    'pretrain_size': 'img_size',
}
#: In the record: what the weights were trained on. It is shown, and never
#: compared, as no model has such a setting.
TRAINED_ON = 'trained_on'
#: What is known of published files, which do not say it.
PUBLISHED = {
    'dit': 'photographs of COCO, by the authors of the method',
    'hf-sam': 'photographs of SA-1B, without text',
    'sam': 'photographs of SA-1B, without text',
}
SHOWN = 200
_NOT_PLAIN = object()


def describe_settings(
    model: nn.Module, steps: Iterable[object] = (), place: str = 'model'
) -> dict[str, Any]:
    """Return a model's settings by their keys in its config.

    Args:
        model: The model. Parts of it that depend on more than arguments add
            ``extra_settings()``.
        steps: Transforms of the test pipeline that change images.
        place: Key of the model in its config.
    """
    found: dict[str, Any] = {}
    _describe(model, place, found)
    pipeline = []
    for step in steps:
        arguments: dict[str, Any] = {}
        _describe(step, '', arguments)
        pipeline.append({k.removeprefix('.'): v for k, v in arguments.items()})
    if pipeline:
        found['test_pipeline'] = pipeline
    return found


def recorded_settings(checkpoint: Mapping) -> dict[str, Any]:
    """Return what a checkpoint says, or implies by whose it is."""
    meta = checkpoint.get('meta')
    record = meta.get(KEY) if isinstance(meta, dict) else None
    if isinstance(record, dict):
        return _with_present_names(record)
    keys = strip_module(checkpoint.get('state_dict') or {})
    return dict(RELEASE) if find_source(keys) == 'dit' else {}


def _with_present_names(record: dict) -> dict:
    """Return a record under the names that arguments have today."""
    found = {}
    for key, value in record.items():
        place, dot, name = str(key).rpartition('.')
        if isinstance(value, dict):
            value = {FORMER.get(k, k): v for k, v in value.items()}
        found[place + dot + FORMER.get(name, name)] = value
    return found


def recorded_data(checkpoint: Mapping) -> str | None:
    """Return what a checkpoint was trained on, None where nobody says it."""
    said = recorded_settings(checkpoint).get(TRAINED_ON)
    if isinstance(said, str) and said.strip():
        # Of an untrusted file, and shown in a terminal.
        return ''.join(filter(str.isprintable, said))[:SHOWN]
    keys = strip_module(checkpoint.get('state_dict') or {})
    return PUBLISHED.get(find_source(keys) or '')


def compare_settings(
    recorded: Mapping[str, Any],
    current: Mapping[str, Any],
    *,
    trains_on: bool = False,
    allowed: bool = False,
) -> None:
    """Raise where a model is not what its weights were trained in.

    Args:
        recorded: Settings of the checkpoint; keys that it lacks are not
            compared.
        current: Settings of the model.
        trains_on: The weights are where training starts from. It adapts to
            other settings, so that only another injector is an error.
        allowed: Warn instead of raising.
    """
    differ = [
        key
        for key, value in current.items()
        if key in recorded and _plain(recorded[key]) not in (value, _NOT_PLAIN)
    ]
    if not differ:
        return
    message = '\n  '.join(
        [
            'the checkpoint was trained with other settings than this config '
            'has:',
            *(
                f'{key}: {_show(recorded[key])} in the checkpoint, '
                f'{_show(current[key])} in the config'
                for key in differ
            ),
        ]
    )
    of_injector = [key for key in differ if '.text_injector.' in key]
    if allowed or (trains_on and not of_injector):
        print_log(message, logger='current', level=logging.WARNING)
        return
    raise ValueError(
        f'{message}\nLoad it with the config that it was trained with; to '
        'load it anyway, set allow_other_settings=True in the config or give '
        '--allow-other-settings'
    )


def _describe(part: object, place: str, found: dict[str, Any]) -> None:
    """Add the settings of an object, and of the parts that it builds."""
    found[f'{place}.type'] = type(part).__name__
    for name in inspect.signature(type(part)).parameters:
        value = getattr(part, name, _NOT_PLAIN)
        if name in NOT_COMPARED:
            continue
        if isinstance(value, nn.Module):
            _describe(value, f'{place}.{name}', found)
        elif (plain := _plain(value)) is not _NOT_PLAIN:
            found[f'{place}.{name}'] = plain
    extra: dict[str, Any] = getattr(part, 'extra_settings', dict)()
    found.update({f'{place}.{name}': value for name, value in extra.items()})


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, or that it is none."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        return (
            value.flatten().tolist() if value.numel() < SHOWN else _NOT_PLAIN
        )
    if isinstance(value, (list, tuple)):
        entries = [_plain(entry) for entry in value]
        return _NOT_PLAIN if _NOT_PLAIN in entries else entries
    if isinstance(value, dict):
        keyed = {str(key): _plain(entry) for key, entry in value.items()}
        return _NOT_PLAIN if _NOT_PLAIN in keyed.values() else keyed
    return _NOT_PLAIN


def _show(value: Any) -> str:
    """Spell a value, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f'{text[:SHOWN]}...'
