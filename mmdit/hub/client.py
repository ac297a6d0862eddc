"""The library of the Hugging Face hub."""

from types import ModuleType


def hub_library() -> ModuleType:
    """Import ``huggingface_hub``, which comes with ``transformers``."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            "mmdit.hub needs 'huggingface_hub'; run: pip install "
            'mmdit-seg[bert]'
        ) from error
    return huggingface_hub
