"""One transformer block of SAM's encoder, with text beside the image.

Shapes: B batch, L text tokens, H x W image grid, C width.
"""

from torch import Tensor, nn

from .attention import JointAttention
from .window import merge_windows, split_windows


class MLP(nn.Module):
    """Two linear layers around a GELU; parameters named as SAM's."""

    def __init__(self, embed_dims: int, hidden_dims: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(embed_dims, hidden_dims)
        self.lin2 = nn.Linear(hidden_dims, embed_dims)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.lin2(self.act(self.lin1(x)))


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
        image = image + image_update
        image = image + self.mlp(self.norm2(image))
        if text is None or text_update is None:
            return image, None
        text = text + text_update
        return image, text + self.mlp(self.norm2(text))

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
