"""One transformer block of SAM's encoder, with text beside the image.

Shapes: B batch, L text tokens, H x W image grid, C width.
"""

import torch
from torch import Tensor, nn

from .attention import JointAttention
from .linear import Linear, mlp
from .window import merge_windows, split_windows

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
        window_size: Side of the attention windows in tokens; 0 attends over
            the whole image. The text joins every window, and its update is
            the mean of what the windows of its image say.
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
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.attn = JointAttention(embed_dims, num_heads, table_size, backend)
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
        image_update, text_update = self._attend(
            self.norm1(image),
            None if text is None else self.norm1(text),
            text_mask,
            update_text,
        )
        image = self._feed_forward(image + image_update)
        if text is None or text_update is None:
            return image, None
        return image, self._feed_forward(text + text_update)

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

    def _attend(
        self,
        image: Tensor,
        text: Tensor | None,
        text_mask: Tensor | None,
        update_text: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend over the whole image, or within each window."""
        if not self.window_size:
            return self.attn(image, text, text_mask, update_text)
        grid = image.shape[1], image.shape[2]
        image, text = self.attn(
            split_windows(image, self.window_size),
            text,
            text_mask,
            update_text,
        )
        return merge_windows(image, grid), text
