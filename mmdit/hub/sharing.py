"""Send a model's folder to the Hugging Face hub, and fetch one."""

from pathlib import Path

from mmdit.models.text_encoders.saving import TEXT_ENCODER
from mmdit.runtime.settings import ONNX

from .card import FILE as CARD
from .client import hub_library
from .config import FILE
from .folder import WEIGHTS, load_folder

# Whatever else lies in a folder stays where it is.
PATTERNS = [
    *(CARD, FILE, WEIGHTS),
    *(f'{TEXT_ENCODER}/*{suffix}' for suffix in ('.json', '.txt', '.model')),
]
# Beside them, for those who run a model without torch.
EXPORTED = [f'{ONNX}/*{suffix}' for suffix in ('.onnx', '.data', '.json')]


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
) -> str:
    """Upload a folder that :func:`save_pretrained` wrote, also its ``onnx/``.

    Args:
        folder: The folder; it is checked first.
        repo_id: ``owner/name``; made where it does not exist.
        private: Whether a repository that is made is private; by default as
            the owner has it.
        token: Of the hub; by default the one of ``hf auth login``.

    Returns:
        The URL of the repository.
    """
    load_folder(Path(folder))
    api = hub_library().HfApi(token=token)
    url = api.create_repo(repo_id, private=private, exist_ok=True)
    api.upload_folder(
        repo_id=url.repo_id,
        folder_path=folder,
        allow_patterns=[*PATTERNS, *EXPORTED],
        commit_message='Upload a model of mmdit',
    )
    return str(url)


def download(repo_id: str, token: str | None = None) -> Path:
    """Fetch a model's folder, once per machine.

    Args:
        repo_id: ``owner/name``.
        token: Of the hub.

    Raises:
        FileNotFoundError: The hub has no such model, or cannot be reached.
    """
    hub = hub_library()
    try:
        path = hub.snapshot_download(
            repo_id, allow_patterns=PATTERNS, token=token
        )
    # Errors of the hub are OSErrors, those of a wrong name ValueErrors.
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f'{repo_id!r} is neither a folder nor a model that the Hugging '
            f'Face hub or its cache holds now ({type(error).__name__})'
        ) from error
    return Path(path)
