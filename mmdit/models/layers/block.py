"""One transformer block of SAM's encoder, with text beside the image.

Shapes: B batch, L text tokens, H x W image grid, C width.
"""

import torch
from torch import Tensor, nn

from .attention import JointAttention
from .linear import Linear, mlp

# Tokens that a CPU takes through an MLP at a time: what lies between its two
# layers then stays in the cache, and in memory that needs no new pages.
CPU_ROWS = 1024


class MLP(nn.Module):
    """Two linear layers around a GELU; parameters named as SAM's."""

    def __init__(self, embed_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.lin1 = Linear(embed_dims, hidden_dims)
        self.lin2 = Linear(hidden_dims, embed_dims)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return mlp(x, self.lin1, self.lin2)


class Block(nn.Module):
    """Pre-norm attention and MLP over image and text tokens.

    Args:
        embed_dims: Width C.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLP over C.
        table_size: See :class:`JointAttention`.
        window_size: See :class:`JointAttention`.
        backend: See :func:`attend`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        mlp_ratio: float,
        table_size: int,
        window_size: int = 0,
        backend: str = 'auto',
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.attn = JointAttention(
            embed_dims, num_heads, table_size, window_size, backend
        )
        self.norm2 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.mlp = MLP(embed_dims, int(embed_dims * mlp_ratio))

    def forward(
        self,
        image: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        update_text: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the image (B, H, W, C) and the text (B, L, C) after it.

        Args:
            image: (B, H, W, C).
            text: (B, L, C), or None for plain SAM.
            text_mask: (B, L) bool, False at tokens not to be attended.
            update_text: False saves the text's own rows where nobody reads
                them; the text returned is then None.
        """
        grid = image.shape[1], image.shape[2]
        x = image.flatten(1, 2)
        texts = 0
        if text is not None:
            # One sequence: every weight is then read once for both.
            x, texts = torch.cat([text, x], dim=1), text.shape[1]
        update = self.attn(self.norm1(x), grid, text_mask, update_text)
        if not update_text:
            x, texts = x[:, texts:], 0
        x = self._feed_forward(x + update)
        image = x[:, texts:].unflatten(1, grid)
        return image, x[:, :texts] if texts else None

    def _feed_forward(self, x: Tensor) -> Tensor:
        """Return x + MLP(norm(x)); without gradients, in the place of x."""
        if (
            x.device.type != 'cpu'
            or torch.is_grad_enabled()
            # The number of rows may be a symbol.
            or torch.compiler.is_compiling()
        ):
            return x + self.mlp(self.norm2(x))
        for rows in x.view(-1, x.shape[-1]).split(CPU_ROWS):
            rows += self.mlp(self.norm2(rows))
        return x
