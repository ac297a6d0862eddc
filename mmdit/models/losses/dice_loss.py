"""Dice loss of a single mask.

MMSegmentation's ``DiceLoss`` one-hot encodes labels (B, h, w) and keeps as
many channels as there are logits: with one channel that is the background.
"""

from torch import Tensor, nn

from mmdit.registry import MODELS


@MODELS.register_module()
class MaskDiceLoss(nn.Module):
    """1 - 2 |P T| / (|P| + |T|) per mask, averaged over the batch.

    SAM is trained with a dice loss too (Segment Anything, Sec. 5): unlike the
    mean over pixels, it gives a small object as much weight as a large one.

    Args:
        loss_weight: Factor of the loss.
        eps: Added to numerator and denominator, in pixels.
        loss_name: Name in the log; must start with 'loss_' to be trained on.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        eps: float = 1.0,
        loss_name: str = 'loss_dice',
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.eps = eps
        self.loss_name = loss_name

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compare logits (B, 1, h, w) with labels (B, h, w) of 0 and 1."""
        predicted = logits.squeeze(1).sigmoid().flatten(1)
        truth = labels.flatten(1).to(predicted.dtype)
        both = (predicted * truth).sum(1)
        total = predicted.sum(1) + truth.sum(1)
        dice = (2 * both + self.eps) / (total + self.eps)
        return self.loss_weight * (1 - dice).mean()
