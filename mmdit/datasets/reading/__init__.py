"""Everything that data sets, checkers and converters read from files.

Each kind of thing is read in one module, which normalizes or rejects it:
``values`` (numbers, ids, text, JSON), ``pickles``, ``segmentations``,
``images``, ``instances`` and ``refs`` of the RefCOCO family, ``rows`` of a
JSON-lines file.
"""
