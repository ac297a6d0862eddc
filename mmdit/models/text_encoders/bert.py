"""BERT and its tokenizer, from any local directory or hub name.

Shapes: B expressions, L = max_tokens, D width of BERT.
"""

import hashlib
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor

from mmdit.registry import MODELS

# Settings of BERT that leave no trace in its weights.
WITHOUT_SHAPE = ('num_attention_heads', 'hidden_act', 'layer_norm_eps')
# Parts of published BERT files that a text encoder does not have.
UNUSED_PREFIXES = ('cls.', 'pooler.', 'bert.pooler.')
_LAYER = re.compile(r'(?:^|\.)encoder\.layer\.(\d+)\.')


@MODELS.register_module()
class BertTextEncoder(BaseModule):
    """Turn expressions into BERT's hidden states, by default the last ones.

    The architecture and the vocabulary come from ``pretrained``; its weights
    are read in :meth:`init_weights`, which MMEngine's Runner calls before
    training, so that testing a trained checkpoint needs no BERT weights.

    Args:
        pretrained: Directory or hub name of a BERT, such as
            'bert-base-uncased'.
        config: Keyword arguments of ``transformers.BertConfig`` for a BERT
            that starts from random weights; instead of ``pretrained``.
        vocab_file: WordPiece vocabulary that goes with ``config``.
        num_layers: Encoder layers that are kept, counted from the first; the
            text is the output of the last of them. None keeps all, as the
            paper says; the authors' published models read the first layer.
        max_tokens: Length L to which expressions are cut or padded,
            including [CLS] and [SEP].
        mask_padding: Whether image encoder and decoder must ignore padded
            positions. The authors attend to them, so the default is False.
            BERT itself always ignores them.
        frozen: Whether BERT keeps its weights and stays in eval mode.
        init_cfg: MMEngine's initialisation config.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        config: dict | None = None,
        vocab_file: str | None = None,
        num_layers: int | None = None,
        max_tokens: int = 20,
        mask_padding: bool = False,
        frozen: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        try:
            from transformers import BertModel
        except ImportError as error:
            raise ImportError(
                "BertTextEncoder needs 'transformers'; run: "
                'pip install mmdit-seg[bert]'
            ) from error
        if (pretrained is None) == (config is None):
            raise ValueError(
                'BertTextEncoder needs either pretrained (a directory or hub '
                f'name) or config, got pretrained={pretrained!r} and '
                f'config={config!r}'
            )
        if (config is None) != (vocab_file is None):
            raise ValueError(
                'vocab_file goes with config and only with config, got '
                f'vocab_file={vocab_file!r} and config={config!r}'
            )
        self.pretrained = pretrained
        self.vocab_file = vocab_file
        self.max_tokens = max_tokens
        self.mask_padding = mask_padding
        self.frozen = frozen
        if pretrained is not None:
            bert_config, self.tokenizer = _load_pretrained_parts(pretrained)
        else:
            assert config is not None and vocab_file is not None
            bert_config, self.tokenizer = _make_parts(config, vocab_file)
        if max_tokens > bert_config.max_position_embeddings:
            raise ValueError(
                f'max_tokens={max_tokens} exceeds the '
                f'{bert_config.max_position_embeddings} positions of this '
                'BERT (max_position_embeddings)'
            )
        if num_layers is not None:
            if not 1 <= num_layers <= bert_config.num_hidden_layers:
                raise ValueError(
                    f'num_layers={num_layers} of BertTextEncoder; expected 1 '
                    f'to {bert_config.num_hidden_layers}, the layers of this '
                    'BERT'
                )
            bert_config.num_hidden_layers = num_layers
        self.num_layers = bert_config.num_hidden_layers
        self.bert = BertModel(bert_config, add_pooling_layer=False)
        if frozen:
            self.bert.requires_grad_(False)
        self._warned = False

    @property
    def embed_dims(self) -> int:
        """Width D of the text tokens."""
        return self.bert.config.hidden_size

    def init_weights(self) -> None:
        """Read the weights of ``pretrained``.

        BaseModule's own method must not run: it would call the
        ``init_weights`` of ``transformers``, which re-initialises BERT.
        """
        if self.pretrained is None:
            return
        loaded, info = _load_pretrained_weights(
            self.pretrained, self.bert.config
        )
        unexpected = [
            key
            for key in info['unexpected_keys']
            if not key.startswith(UNUSED_PREFIXES)
            and not is_layer_beyond(key, self.num_layers)
        ]
        if info['missing_keys'] or unexpected:
            raise ValueError(
                f'{self.pretrained} does not hold the BERT that its config '
                f'describes: missing {sorted(info["missing_keys"])}, '
                f'unexpected {sorted(unexpected)}'
            )
        self.bert.load_state_dict(loaded.state_dict())

    def save_parts(self, folder: Path) -> None:
        """Write the config of BERT and the tokenizer, without weights."""
        self.bert.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def extra_settings(self) -> dict[str, Any]:
        """Return what changes numbers and is no argument of its own."""
        ids = self.tokenizer.get_vocab()
        words = '\n'.join(sorted(ids, key=ids.__getitem__))
        config = self.bert.config
        return dict(
            {key: getattr(config, key) for key in WITHOUT_SHAPE},
            vocabulary=hashlib.sha256(words.encode()).hexdigest()[:16],
        )

    def train(self, mode: bool = True) -> 'BertTextEncoder':
        """Keep a frozen BERT in eval mode."""
        super().train(mode and not self.frozen)
        return self

    def forward(
        self, expressions: Sequence[str | None]
    ) -> tuple[Tensor, Tensor | None]:
        """Encode B expressions; None, where there is none, has no words.

        Returns:
            Text tokens (B, L, D), and (B, L) bool, True at real tokens, or
            None where padding is to be attended (``mask_padding=False``).
        """
        ids, mask = self.tokenize(expressions)
        text = self.bert(
            input_ids=ids, attention_mask=mask.long()
        ).last_hidden_state
        return text, mask if self.mask_padding else None

    def tokenize(
        self, expressions: Sequence[str | None]
    ) -> tuple[Tensor, Tensor]:
        """Return token ids (B, L) and the mask of real tokens (B, L) bool.

        Without an expression, these are [CLS] and [SEP].
        """
        for expression in expressions:
            if expression is not None and not expression.strip():
                raise ValueError(
                    f'an expression is empty: {expression!r} among '
                    f'{list(expressions)}; give every image some words, or '
                    'None where points or a box say it all'
                )
        sentences = [expression or '' for expression in expressions]
        rows = self.tokenizer(sentences)['input_ids']
        ids = torch.full(
            (len(rows), self.max_tokens), self.tokenizer.pad_token_id
        )
        mask = torch.zeros_like(ids, dtype=torch.bool)
        for i, row in enumerate(rows):
            if len(row) > self.max_tokens:
                self._warn_once(sentences[i], len(row))
                row = [*row[: self.max_tokens - 1], row[-1]]
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        device = self.bert.embeddings.word_embeddings.weight.device
        return ids.to(device), mask.to(device)

    def _warn_once(self, expression: str, length: int) -> None:
        """Say that text is cut, the first time it happens."""
        if not self._warned:
            self._warned = True
            print_log(
                f'{expression!r} has {length} tokens and is cut to '
                f'{self.max_tokens}; raise max_tokens of the text encoder to '
                'keep long expressions whole (said once)',
                logger='current',
                level=logging.WARNING,
            )


def is_layer_beyond(key: str, kept: int) -> bool:
    """Tell whether a parameter belongs to a BERT layer after the first ones.

    Args:
        key: Its name, with whatever prefix.
        kept: How many layers are kept.
    """
    match = _LAYER.search(key)
    return match is not None and int(match[1]) >= kept


def _load_pretrained_parts(pretrained: str) -> tuple:
    """Load config and tokenizer of a directory or hub name."""
    from transformers import BertConfig, BertTokenizerFast

    try:
        return (
            BertConfig.from_pretrained(pretrained),
            BertTokenizerFast.from_pretrained(pretrained),
        )
    except (OSError, ValueError) as error:
        raise OSError(
            f'BertTextEncoder cannot load {pretrained!r}: it is neither a '
            'directory with config.json and vocab.txt nor a model that the '
            'Hugging Face hub or its cache holds now. Without a network, '
            'download it elsewhere (hf download bert-base-uncased '
            '--local-dir DIR) and name that directory: --text-encoder DIR in '
            'the shell, pretrained=DIR in a config'
        ) from error


def _load_pretrained_weights(pretrained: str, config: Any) -> tuple:
    """Load the model of a directory or hub name, and what did not fit."""
    from transformers import BertModel

    from mmdit.checkpoints.files import read_state_dict

    try:
        return BertModel.from_pretrained(
            pretrained,
            config=config,
            add_pooling_layer=False,
            output_loading_info=True,
        )
    # Of torch, safetensors or the hub; torch's own words, which advise users
    # to run what a file holds, must not stand in the traceback either.
    except Exception as error:
        kind = type(error).__name__
    if Path(pretrained).is_dir():
        read_state_dict(pretrained)  # says what is wrong with a file
    raise OSError(
        f"BertTextEncoder cannot read BERT's weights of {pretrained!r} "
        f'({kind}); download them again'
    )


def _make_parts(config: dict, vocab_file: str) -> tuple:
    """Make config and tokenizer of a BERT that starts from nothing."""
    from transformers import BertConfig, BertTokenizerFast

    if not Path(vocab_file).is_file():
        raise FileNotFoundError(
            f'vocab_file {vocab_file!r} of BertTextEncoder does not exist; '
            'SynthRef brings its own (docs/synthref.md), and '
            '"mmdit build-vocab" writes that of any other data set'
        )
    tokenizer = BertTokenizerFast(vocab_file)
    config = {'vocab_size': len(tokenizer), **config}
    if config['vocab_size'] < len(tokenizer):
        raise ValueError(
            f'vocab_size={config["vocab_size"]} is smaller than the '
            f'{len(tokenizer)} words of {vocab_file}; leave it out of config'
        )
    return BertConfig(**config), tokenizer
