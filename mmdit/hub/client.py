"""The library of the Hugging Face hub."""

from types import ModuleType

from mmdit.optional import needed_by


def hub_library() -> ModuleType:
    """Import ``huggingface_hub``, which comes with ``transformers``."""
    with needed_by('mmdit.hub', 'mmdit-seg[bert]'):
        import huggingface_hub
    return huggingface_hub
