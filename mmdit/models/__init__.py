"""Model components, registered in ``mmdit.registry.MODELS``.

Nothing is imported here: the registry imports each module on demand, so that a
project that borrows the backbone does not need MMSegmentation.
"""
