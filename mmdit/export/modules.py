"""A segmentor as two modules with tensors in and tensors out.

Shapes: B expressions, each with its image, L text tokens, D text width, h x w
padded input, M masks.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

# Large enough for anyone; exporters want a number.
MAX_BATCH = 4096


class Part(nn.Module):
    """A module that is exported as one file.

    Args:
        max_tokens: The longest text.
    """

    #: Name of the file, without a suffix.
    name: str
    outputs: tuple[str, ...]

    def __init__(self, max_tokens: int) -> None:
        super().__init__()
        self.max_tokens = max_tokens

    def example(self, batch: int, length: int) -> dict[str, Tensor]:
        """Return random inputs by name, in the order of ``forward``.

        Args:
            batch: B.
            length: L.
        """
        raise NotImplementedError

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        """Say which sizes vary: B of all inputs, and L of those of text."""
        batch = Dim('batch', min=1, max=MAX_BATCH)
        length = Dim('length', min=1, max=self.max_tokens)
        return tuple(
            {0: batch} if name == 'pixel_values' else {0: batch, 1: length}
            for name in self.example(1, 1)
        )


class TextPart(Part):
    """From token ids to text tokens: BERT or another encoder.

    Args:
        segmentor: A :class:`ReferringSegmentor` with an
            :class:`HFTextEncoder`.
    """

    name = 'text'
    outputs = ('text',)

    def __init__(self, segmentor: Any) -> None:
        super().__init__(segmentor.text_encoder.max_tokens)
        self.encoder = segmentor.text_encoder.encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Encode expressions.

        Args:
            input_ids: (B, L) int64 token ids.
            attention_mask: (B, L) int64, 1 at real tokens and 0 at padding.

        Returns:
            (B, L, D).
        """
        return self.encoder(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state

    def example(self, batch: int, length: int) -> dict[str, Tensor]:
        """Return random inputs by name, in the order of ``forward``."""
        words = self.encoder.config.vocab_size
        ids = torch.randint(words, (batch, length))
        real = _some_real(batch, length).long()
        return dict(input_ids=ids, attention_mask=real)


class MaskPart(Part):
    """From images and text tokens to masks: image encoder and head.

    Args:
        segmentor: A :class:`ReferringSegmentor`.
    """

    name = 'mask'
    outputs = ('logits', 'scores')

    def __init__(self, segmentor: Any) -> None:
        super().__init__(segmentor.text_encoder.max_tokens)
        self.segmentor = segmentor

    def forward(
        self,
        pixel_values: Tensor,
        text: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Segment what the text refers to.

        Args:
            pixel_values: (B, 3, h, w) normalized, padded images.
            text: (B, L, D).
            attention_mask: (B, L) bool, True at real tokens; an input of
                models whose text encoder has ``mask_padding``, no others.

        Returns:
            Logits (B, M, h, w) and each mask's predicted IoU (B, M).
        """
        head = self.segmentor.decode_head
        points = labels = None
        if head.train_points:
            # In training, an item without prompts has two times padding.
            points = pixel_values.new_zeros(pixel_values.shape[0], 2, 2)
            labels = torch.full_like(points[..., 0], -1, dtype=torch.long)
        feats = self.segmentor.extract_feat(pixel_values, text, attention_mask)
        logits, scores = head.predict_masks(
            feats, text, attention_mask, points, labels
        )
        size = pixel_values.shape[-2], pixel_values.shape[-1]
        return head.predict(logits, size), scores

    def example(self, batch: int, length: int) -> dict[str, Tensor]:
        """Return random inputs by name, in the order of ``forward``."""
        encoder = self.segmentor.text_encoder
        size = self.segmentor.data_preprocessor.size
        inputs = dict(
            pixel_values=torch.randn(batch, 3, *size),
            text=torch.randn(batch, length, encoder.embed_dims),
        )
        if encoder.mask_padding:
            inputs['attention_mask'] = _some_real(batch, length)
        return inputs


def make_parts(segmentor: nn.Module) -> tuple[TextPart, MaskPart]:
    """Split a segmentor into what is exported.

    Args:
        segmentor: In evaluation mode. Its parts are shared, not copied.

    Raises:
        TypeError: It is another kind of model, or takes no text.
    """
    from mmdit.models.segmentors import ReferringSegmentor
    from mmdit.models.text_encoders import HFTextEncoder

    if not isinstance(segmentor, ReferringSegmentor):
        raise TypeError(
            f'cannot export a {type(segmentor).__name__}; expected a '
            'ReferringSegmentor'
        )
    if not isinstance(segmentor.text_encoder, HFTextEncoder):
        raise TypeError(
            'cannot export a model whose text_encoder is '
            f'{type(segmentor.text_encoder).__name__}; expected a '
            'BertTextEncoder or an HFTextEncoder (exported models take '
            'expressions, not points)'
        )
    if segmentor.training:
        raise ValueError('call eval() on the model before it is exported')
    return TextPart(segmentor), MaskPart(segmentor)


def _some_real(batch: int, length: int) -> Tensor:
    """Return (B, L) bool with a random number of real tokens, at least 1."""
    lengths = torch.randint(1, length + 1, (batch, 1))
    return torch.arange(length) < lengths
