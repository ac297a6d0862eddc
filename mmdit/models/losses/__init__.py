"""Losses beyond those of MMSegmentation."""

from .dice_loss import MaskDiceLoss

__all__ = ['MaskDiceLoss']
