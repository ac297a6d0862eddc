"""What turns images and words into answers, whatever computes the numbers.

Nothing here needs torch, so that exported models run without it. Importing
the package is cheap; its modules import what they need.
"""
