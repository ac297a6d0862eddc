"""Fuzzing of everything that reads files or words of others.

``targets`` has a target for each reader, ``trees``, ``pickles`` and
``formats`` change inputs while their structure holds, ``worker`` runs a target
within limits, and ``supervisor`` starts workers and collects what they find;
``benchmarks/run_fuzz.py`` is the command.
"""
