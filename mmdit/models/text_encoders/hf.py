"""Text encoders of ``transformers``, each with its own tokenizer.

Shapes: B expressions, L = max_tokens, D width of the encoder.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor

from mmdit.optional import needed_by
from mmdit.quiet import without_lines
from mmdit.registry import MODELS

from .parts import (
    check_fit,
    is_layer_beyond,
    keep_layers,
    make_model,
    read_parts,
    without_pooler,
)

# Settings of the families that leave no trace in their weights.
WITHOUT_SHAPE = (
    *('model_type', 'num_attention_heads', 'position_buckets'),
    *('hidden_act', 'hidden_activation', 'layer_norm_eps', 'norm_eps'),
    *('relative_attention', 'pos_att_type', 'local_attention'),
)
LORA_KEYS = ('r', 'lora_alpha', 'lora_dropout', 'target_modules')


@MODELS.register_module()
class HFTextEncoder(BaseModule):
    """Turn expressions into an encoder's hidden states, the last by default.

    Any encoder that ``transformers`` makes of a ``config.json``, with a
    tokenizer of its own: RoBERTa, XLM-R, DeBERTa, ModernBERT, the text tower
    of CLIP, ... Architecture and tokenizer come from ``pretrained``; its
    weights are read in :meth:`init_weights`, which MMEngine's Runner calls
    before training, so that testing a trained checkpoint needs none of them.

    Args:
        pretrained: Directory or hub name, such as 'roberta-base'.
        num_layers: Encoder layers that are kept, counted from the first; the
            text is the output of the last of them, through the family's final
            norm where it has one. Layers above are neither made nor read.
            None keeps all.
        max_tokens: Length L to which expressions are cut or padded,
            including special tokens.
        mask_padding: Whether image encoder and decoder must ignore padded
            positions. The authors attend to them, so the default is False.
            The text encoder itself always ignores them.
        frozen: Whether the encoder keeps its weights and stays in eval mode.
        lora: Train low-rank adapters beside frozen weights: ``dict(r=8)``,
            and if need be ``lora_alpha``, ``lora_dropout`` and
            ``target_modules``, a list of names (by default all linear
            layers), as of ``peft.LoraConfig``. None trains the weights.
        init_cfg: MMEngine's initialization config.
    """

    #: Name of the encoder's module, with which its parameters' names begin.
    part = 'model'
    #: The family that is accepted; None accepts all.
    model_type: str | None = None

    def __init__(
        self,
        pretrained: str | None,
        num_layers: int | None = None,
        max_tokens: int = 20,
        mask_padding: bool = False,
        frozen: bool = False,
        lora: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.pretrained = pretrained
        self.max_tokens = max_tokens
        self.mask_padding = mask_padding
        self.frozen = frozen
        self.lora = lora
        self._warned = False
        config, self.tokenizer = self.make_parts()
        if num_layers is not None:
            keep_layers(config, num_layers, self._name)
        self.num_layers = config.num_hidden_layers
        model = make_model(config, self._name)
        check_fit(model, self.tokenizer, max_tokens, self._name)
        if frozen:
            model.requires_grad_(False)
        self.add_module(self.part, self._adapt(model))

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def encoder(self) -> Any:
        """The model of ``transformers``."""
        return getattr(self, self.part)

    @property
    def embed_dims(self) -> int:
        """Width D of the text tokens."""
        return self.encoder.config.hidden_size

    def make_parts(self) -> tuple[Any, Any]:
        """Return config and tokenizer, both of ``transformers``."""
        family, config, tokenizer = read_parts(
            self._name, self.pretrained, self.model_type
        )
        self.check_family(family, tokenizer)
        # CLIP and its kind: the text tower alone.
        return getattr(config, 'text_config', config), tokenizer

    def check_family(self, family: str, tokenizer: Any) -> None:
        """Raise where a subclass reads another family."""

    def init_weights(self) -> None:
        """Read the weights of ``pretrained``.

        BaseModule's own method must not run: it would call the
        ``init_weights`` of ``transformers``, which re-initializes the model.
        """
        if self.pretrained is None:
            return
        loaded, info = self._read_weights(self.pretrained)
        prefix = f'{loaded.base_model_prefix}.'
        parts = {name for name, _ in loaded.named_children()}
        unexpected = [
            key
            for key in info['unexpected_keys']
            # Others are heads of the training before.
            if key.removeprefix(prefix).split('.')[0] in parts
            and not is_layer_beyond(key, self.num_layers)
            and not key.endswith('position_ids')
        ]
        if info['missing_keys'] or unexpected:
            raise ValueError(
                f'{self.pretrained} does not hold the model that its config '
                f'describes: missing {sorted(info["missing_keys"])}, '
                f'unexpected {sorted(unexpected)}'
            )
        self.encoder.load_state_dict(self._adapt(loaded).state_dict())

    def _read_weights(self, pretrained: str) -> tuple[Any, dict]:
        """Load the model of a directory or hub name, and what did not fit."""
        from mmdit.checkpoints.files import read_state_dict

        config, kind = self.encoder.config, type(self.encoder)
        log = logging.getLogger('transformers.modeling_utils')
        try:
            # A page about heads and layers that are left out on purpose.
            with without_lines(log, 'LOAD REPORT'):
                return kind.from_pretrained(
                    pretrained,
                    config=config,
                    output_loading_info=True,
                    **without_pooler(kind),
                )
        # Of torch, safetensors or the hub; torch's own words, which advise
        # users to run what a file holds, must not stand in the traceback.
        except Exception as error:
            reason = type(error).__name__
        if Path(pretrained).is_dir():
            read_state_dict(pretrained)  # says what is wrong with a file
        raise OSError(
            f'{self._name} cannot read the weights of {pretrained!r} '
            f'({reason}); download them again'
        )

    def _adapt(self, model: Any) -> Any:
        """Put adapters into a model, where ``lora`` is set."""
        if self.lora is None:
            return model
        with needed_by(f'lora of {self._name}', 'mmdit-seg[lora]'):
            from peft import LoraConfig, inject_adapter_in_model
        names = self.lora.get('target_modules', [])
        if self.frozen or {*self.lora} - {*LORA_KEYS} or type(names) is str:
            raise ValueError(
                f'{self._name} has lora={self.lora} and frozen={self.frozen}; '
                f'expected a dict of {", ".join(LORA_KEYS)} (a list of '
                'names), and frozen=False: LoRA freezes the weights itself'
            )
        options = {'target_modules': 'all-linear', **self.lora}
        return inject_adapter_in_model(LoraConfig(**options), model)

    def save_parts(self, folder: Path) -> None:
        """Write config and tokenizer, without weights."""
        self.encoder.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def extra_settings(self) -> dict[str, Any]:
        """Return what changes numbers and is no argument of its own."""
        ids = self.tokenizer.get_vocab()
        words = '\n'.join(sorted(ids, key=ids.__getitem__))
        config = self.encoder.config
        known = [key for key in WITHOUT_SHAPE if hasattr(config, key)]
        return dict(
            {key: getattr(config, key) for key in known},
            vocabulary=hashlib.sha256(words.encode()).hexdigest()[:16],
        )

    def train(self, mode: bool = True) -> 'HFTextEncoder':
        """Keep a frozen encoder in eval mode."""
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
        text = self.encoder(
            input_ids=ids, attention_mask=mask.long()
        ).last_hidden_state
        return text, mask if self.mask_padding else None

    def tokenize(
        self, expressions: Sequence[str | None]
    ) -> tuple[Tensor, Tensor]:
        """Return token ids (B, L) and the mask of real tokens (B, L) bool.

        Without an expression, these are the special tokens, [CLS] and [SEP].
        """
        for expression in expressions:
            if expression is not None and not expression.strip():
                raise ValueError(
                    f'an expression is empty: {expression!r} among '
                    f'{list(expressions)}; give every image an expression, '
                    'or None where it has points or a box'
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
        device = next(self.encoder.parameters()).device
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
