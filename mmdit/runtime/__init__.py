"""From images and expressions to predictions, whatever computes them.

Nothing here needs torch, so that exported models run without it. Importing
the package is cheap; its modules import what they need.
"""
