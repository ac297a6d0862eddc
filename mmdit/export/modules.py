"""A segmentor as modules with tensors in and tensors out.

Shapes: B expressions, each with its image, L text tokens, D text width, h x w
padded input, H x W grid of C channels in the image encoder, M masks.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

# Inputs that are no text.
IMAGES = 'pixel_values', 'trunk'
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
            {0: batch} if name in IMAGES else {0: batch, 1: length}
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
        feats = self.segmentor.extract_feat(pixel_values, text, attention_mask)
        return self.decode(feats, text, attention_mask)

    def decode(
        self,
        feats: tuple[Tensor, ...],
        text: Tensor,
        attention_mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Decode features of images, to what ``forward`` returns."""
        head = self.segmentor.decode_head
        points = labels = None
        if head.train_points:
            # In training, an item without prompts has two times padding.
            points = text.new_zeros(text.shape[0], 2, 2)
            labels = torch.full_like(points[..., 0], -1, dtype=torch.long)
        logits, scores = head.predict_masks(
            feats, text, attention_mask, points, labels
        )
        size = self.segmentor.data_preprocessor.size
        return head.predict(logits, size), scores

    def example(self, batch: int, length: int) -> dict[str, Tensor]:
        """Return random inputs by name, in the order of ``forward``."""
        encoder = self.segmentor.text_encoder
        inputs = dict(
            **self.example_image(batch),
            text=torch.randn(batch, length, encoder.embed_dims),
        )
        if encoder.mask_padding:
            inputs['attention_mask'] = _some_real(batch, length)
        return inputs

    def example_image(self, batch: int) -> dict[str, Tensor]:
        """Return the random input that is made of images."""
        size = self.segmentor.data_preprocessor.size
        return dict(pixel_values=torch.randn(batch, 3, *size))


class TrunkPart(Part):
    """From images to what enters the first block with text.

    Args:
        segmentor: A :class:`ReferringSegmentor` with late text.
    """

    name = 'trunk'
    outputs = ('trunk',)

    def __init__(self, segmentor: Any) -> None:
        super().__init__(segmentor.text_encoder.max_tokens)
        self.segmentor = segmentor

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map (B, 3, h, w) normalized, padded images to (B, H, W, C)."""
        (tokens,) = self.segmentor.backbone.trunk(pixel_values)
        return tokens

    def example(self, batch: int, length: int) -> dict[str, Tensor]:
        """Return random inputs by name, in the order of ``forward``."""
        size = self.segmentor.data_preprocessor.size
        return dict(pixel_values=torch.randn(batch, 3, *size))


class LateMaskPart(MaskPart):
    """From the trunk of images and text tokens to masks."""

    def forward(
        self,
        trunk: Tensor,
        text: Tensor,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Segment what the text refers to.

        Args:
            trunk: (B, H, W, C) of :class:`TrunkPart`.
            text: As of :class:`MaskPart`, like what follows.
            attention_mask: (B, L) bool.

        Returns:
            Logits (B, M, h, w) and each mask's predicted IoU (B, M).
        """
        feats = self.segmentor.backbone(
            trunk, text, attention_mask, keep=lambda known, _: (known,)
        )
        return self.decode(feats, text, attention_mask)

    def example_image(self, batch: int) -> dict[str, Tensor]:
        """Return the random input that is made of images."""
        backbone = self.segmentor.backbone
        height, width = self.segmentor.data_preprocessor.size
        side = backbone.patch_size
        grid = height // side, width // side
        return dict(trunk=torch.randn(batch, *grid, backbone.embed_dims))


def has_trunk(segmentor: Any) -> bool:
    """Tell whether blocks come before the text, and an image has a trunk."""
    injector = getattr(segmentor.backbone, 'text_injector', None)
    # Maps of blocks before the text would be more than a trunk.
    return (
        injector is not None
        and injector.first_block > 0
        and segmentor.backbone.out_indices[0] >= injector.first_block
    )


def make_parts(segmentor: nn.Module) -> tuple[Part, ...]:
    """Split a segmentor into what is exported.

    Args:
        segmentor: In evaluation mode. Its parts are shared, not copied.

    Returns:
        A :class:`TextPart` and a :class:`MaskPart`; with late text a
        :class:`TrunkPart` between them.

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
    text = TextPart(segmentor)
    if has_trunk(segmentor):
        return text, TrunkPart(segmentor), LateMaskPart(segmentor)
    return text, MaskPart(segmentor)


def _some_real(batch: int, length: int) -> Tensor:
    """Return (B, L) bool with a random number of real tokens, at least 1."""
    lengths = torch.randint(1, length + 1, (batch, 1))
    return torch.arange(length) < lengths
