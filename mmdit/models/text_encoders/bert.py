"""BERT, the paper's text encoder."""

from pathlib import Path
from typing import Any

from mmdit.optional import needed_by
from mmdit.registry import MODELS

from .hf import HFTextEncoder


@MODELS.register_module()
class BertTextEncoder(HFTextEncoder):
    """BERT with its WordPiece vocabulary, published or from random weights.

    Args:
        pretrained: Directory or hub name of a BERT, such as
            'bert-base-uncased'.
        config: Keyword arguments of ``transformers.BertConfig`` for a BERT
            that starts from random weights; instead of ``pretrained``.
        vocab_file: WordPiece vocabulary that goes with ``config``.
        num_layers: As of :class:`HFTextEncoder`, like all that follow. The
            paper reads the last layer, the authors' published models the
            first one.
        max_tokens: Likewise.
        mask_padding: Likewise.
        frozen: Likewise.
        lora: Likewise.
        init_cfg: Likewise.
    """

    part = 'bert'
    model_type = 'bert'

    def __init__(
        self,
        pretrained: str | None = None,
        config: dict | None = None,
        vocab_file: str | None = None,
        num_layers: int | None = None,
        max_tokens: int = 20,
        mask_padding: bool = False,
        frozen: bool = False,
        lora: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
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
        # Before the parts are made.
        self.vocab_file, self._config = vocab_file, config
        super().__init__(
            pretrained,
            num_layers,
            max_tokens,
            mask_padding,
            frozen,
            lora,
            init_cfg,
        )

    def make_parts(self) -> tuple[Any, Any]:
        """Return config and tokenizer, read or of ``vocab_file``."""
        if self._config is None:
            return super().make_parts()
        assert self.vocab_file is not None
        with needed_by('BertTextEncoder', 'mmdit-seg[bert]'):
            from transformers import BertConfig, BertTokenizerFast
        if not Path(self.vocab_file).is_file():
            raise FileNotFoundError(
                f'vocab_file {self.vocab_file!r} of BertTextEncoder does not '
                'exist; SynthRef brings its own (docs/synthref.md), and '
                '"mmdit build-vocab" writes that of any other data set'
            )
        tokenizer = BertTokenizerFast(self.vocab_file)
        config = {'vocab_size': len(tokenizer), **self._config}
        return BertConfig(**config), tokenizer

    def check_family(self, family: str, tokenizer: Any) -> None:
        """Raise where this is another family, or not read by WordPiece."""
        backend = getattr(tokenizer, 'backend_tokenizer', None)
        reader = type(getattr(backend, 'model', None)).__name__
        if (family, reader) != ('bert', 'WordPiece'):
            raise ValueError(
                f'{self.pretrained!r} has model_type {family!r} and '
                f"{type(tokenizer).__name__}, BertTextEncoder reads 'bert' "
                'with a WordPiece BertTokenizer; set '
                "text_encoder.type='HFTextEncoder'"
            )
