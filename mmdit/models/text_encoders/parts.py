"""Config, tokenizer and model of ``transformers``, and whether they fit."""

import inspect
import re
from typing import Any

from torch import nn

from mmdit.optional import needed_by

_LAYER = re.compile(r'(?:^|\.)layers?\.(\d+)\.')


def read_parts(
    owner: str, pretrained: str | None, default: str | None
) -> tuple[str, Any, Any]:
    """Read family, config and tokenizer of a directory or hub name.

    Args:
        owner: The class that calls, for messages.
        pretrained: Directory or hub name.
        default: Family of a config that does not say it.

    Raises:
        ImportError: There is no ``transformers``.
        OSError: They are not there.
        ValueError: They are of a family that is not known.
    """
    with needed_by(owner, 'mmdit-seg[bert]'):
        from transformers import (
            CONFIG_MAPPING,
            AutoTokenizer,
            PretrainedConfig,
            __version__,
        )
    family = None
    try:
        values, _ = PretrainedConfig.get_config_dict(pretrained)
        # The oldest files of BERT do not say what they are.
        family = values.get('model_type', default)
        if family in CONFIG_MAPPING:
            # Not AutoConfig, which also runs code that a directory brings.
            config = CONFIG_MAPPING[family].from_dict(values)
            tokenizer = AutoTokenizer.from_pretrained(
                pretrained, config=config, trust_remote_code=False
            )
            return family, config, tokenizer
    # Of transformers, the hub, or what converts an old tokenizer.
    except (OSError, ValueError, TypeError, ImportError) as error:
        is_bert = default == 'bert'
        name = 'bert-base-uncased' if is_bert else 'NAME'
        files = 'vocab.txt' if is_bert else 'tokenizer.json'
        raise OSError(
            f'{owner} cannot load {pretrained!r}: it is neither a directory '
            f'with config.json and {files} nor a model that the Hugging Face '
            f'hub or its cache holds now ({type(error).__name__}). Without a '
            f'network, download it elsewhere (hf download {name} --local-dir '
            'DIR) and name that directory: --text-encoder DIR in the shell, '
            'pretrained=DIR in a config'
        ) from error
    raise ValueError(
        f'{owner}: transformers {__version__} does not know model_type '
        f'{family!r} of {pretrained!r}'
    )


def is_layer_beyond(key: str, kept: int) -> bool:
    """Tell whether a parameter belongs to a layer after the first ones.

    Args:
        key: Its name, with whatever prefix.
        kept: How many layers are kept.
    """
    match = _LAYER.search(key)
    return match is not None and int(match[1]) >= kept


def keep_layers(config: Any, kept: int, owner: str) -> None:
    """Let a config describe the first layers only."""
    if not 1 <= kept <= config.num_hidden_layers:
        raise ValueError(
            f'num_layers={kept} of {owner}; expected 1 to '
            f'{config.num_hidden_layers}, the layers of this '
            f'{config.model_type}'
        )
    config.num_hidden_layers = kept
    if getattr(config, 'layer_types', None):
        config.layer_types = config.layer_types[:kept]


def make_model(config: Any, owner: str) -> Any:
    """Make a model of random weights, without what reads whole sentences."""
    from transformers import MODEL_MAPPING

    kind = MODEL_MAPPING.get(type(config), None)
    reads_text = getattr(kind, 'main_input_name', None) == 'input_ids'
    if not reads_text or config.is_encoder_decoder:
        raise ValueError(
            f'{owner} cannot make a text encoder of model_type '
            f'{config.model_type!r}; expected one that reads text alone, '
            'such as bert, roberta, xlm-roberta, deberta-v2, modernbert, clip'
        )
    # What a config.json names may be code of the hub, or be missing here.
    config._attn_implementation = 'sdpa' if kind._supports_sdpa else 'eager'
    return kind(config, **without_pooler(kind))


def without_pooler(kind: type) -> dict[str, bool]:
    """Return the argument that leaves out the pooler, where there is one."""
    known = 'add_pooling_layer' in inspect.signature(kind).parameters
    return dict(add_pooling_layer=False) if known else {}


def check_fit(model: Any, tokenizer: Any, max_tokens: int, owner: str) -> None:
    """Raise unless a model can read what a tokenizer writes."""
    config, pad = model.config, tokenizer.pad_token_id
    if not hasattr(tokenizer, 'backend_tokenizer'):
        raise ValueError(
            f'{owner} needs a tokenizer of the library tokenizers, got '
            f'{type(tokenizer).__name__}; write a tokenizer.json with its '
            'save_pretrained'
        )
    if pad is None or not tokenizer('')['input_ids']:
        raise ValueError(
            f'{owner} needs a tokenizer that pads and adds special tokens, '
            f'which this {type(tokenizer).__name__} does not'
        )
    largest = max(tokenizer.get_vocab().values())
    tables = [
        module.padding_idx
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and 'position' in name
    ]
    # RoBERTa and its kind count positions from the one after padding's id.
    shift = next((i for i in tables if i is not None), None)
    if largest >= config.vocab_size or shift not in (None, pad):
        raise ValueError(
            f'the {type(tokenizer).__name__} of {owner} does not belong to '
            f'this {config.model_type}: it has ids up to {largest} and pads '
            f'with {pad}, the model knows {config.vocab_size} ids'
            + ('' if shift is None else f' and padding {shift}')
        )
    positions = getattr(config, 'max_position_embeddings', max_tokens)
    positions -= 0 if shift is None else shift + 1
    if max_tokens > positions:
        raise ValueError(
            f'max_tokens={max_tokens} exceeds the {positions} positions of '
            f'this {config.model_type} (max_position_embeddings)'
        )
