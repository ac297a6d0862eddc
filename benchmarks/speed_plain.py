"""L-DIT's encoder as one would first write it: what ours is measured against.

``segment_anything``'s blocks, with the text's tokens before the image's in
every sequence, all scores of a head in memory at once, and the bias of
relative positions added to those between image tokens.

Shapes: B batch, L text tokens, H x W image grid (N = H*W), C width, n heads.
"""

import torch
from segment_anything.modeling.image_encoder import (
    Block,
    ImageEncoderViT,
    add_decomposed_rel_pos,
)
from torch import Tensor, nn

from mmdit.models.layers import resize_position


class PlainEncoder(nn.Module):
    """Meta's encoder without windows, with text in every block.

    Args:
        encoder: ``segment_anything``'s ``ImageEncoderViT``; its modules are
            used, not its ``forward``, which takes images of one size.
        projections: What makes each block's tokens of the text.
    """

    def __init__(
        self, encoder: ImageEncoderViT, projections: nn.ModuleList
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projections = projections

    def forward(self, images: Tensor, text: Tensor) -> Tensor:
        """Map (B, 3, h, w) images and (B, L, C) text to (B, 256, H, W)."""
        image = self.encoder.patch_embed(images)
        grid = image.shape[1], image.shape[2]
        image = image + resize_position(self.encoder.pos_embed, grid)
        image = image.flatten(1, 2)
        for block, project in zip(
            self.encoder.blocks, self.projections, strict=True
        ):
            tokens = torch.cat([project(text), image], dim=1)
            tokens = tokens + attend(block, tokens, grid)
            tokens = tokens + block.mlp(block.norm2(tokens))
            image = tokens[:, text.shape[1] :]
        return self.encoder.neck(image.transpose(1, 2).unflatten(2, grid))


def attend(block: Block, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the (B, L + N, C) update of a block's attention."""
    attention = block.attn
    batch, length, _ = tokens.shape
    texts = length - grid[0] * grid[1]
    qkv = attention.qkv(block.norm1(tokens))
    qkv = qkv.unflatten(2, (3, attention.num_heads, -1))
    query, key, value = (
        qkv.permute(2, 0, 3, 1, 4).flatten(1, 2).unbind(0)
    )  # (B*n, L + N, d)
    scores = (query * attention.scale) @ key.transpose(1, 2)
    scores[:, texts:, texts:] = add_decomposed_rel_pos(
        scores[:, texts:, texts:],
        query[:, texts:],
        attention.rel_pos_h,
        attention.rel_pos_w,
        grid,
        grid,
    )
    out = scores.softmax(dim=-1) @ value
    out = out.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2)
    return attention.proj(out)
