"""``mmdit web``: run a model on a web page.

Nothing heavy is imported before the arguments have been read.
"""

import argparse
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .naming import QUICKSTART, add_model, choose_model, load_model
from .running import guard

if TYPE_CHECKING:
    import gradio as gr

    from mmdit.web.folder import RunFolder

# Nothing is sent anywhere, and no history of the queue is kept.
SETTINGS = dict(
    GRADIO_ANALYTICS_ENABLED='False', GRADIO_ANALYTICS_MAX_EVENTS='1'
)
NO_MODEL = f"""
### There is no model yet

Stop this page (Ctrl+C), and in the same folder run

```
bash tools/quickstart.sh
```

It draws images, trains a small model on them within minutes, without
a GPU, and leaves it in `{QUICKSTART}`. Then `mmdit web` serves it.

For a model of your own, run `mmdit web MODEL WEIGHTS`. Weights of SAM
suffice for points and boxes: `mmdit web --weights sam_vit_b_01ec64.pth`.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command understands."""
    parser.description = 'Run a model on a web page.'
    add_model(parser)
    parser.add_argument(
        '--device',
        default='auto',
        help='cpu, cuda:0, ... (default: an accelerator where there is one)',
    )
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at (default: %(default)s, which only this '
        'machine reaches; 0.0.0.0 for all of its network)',
    )
    parser.add_argument(
        '--allow-host',
        action='append',
        default=[],
        metavar='NAME',
        help="accept this host name, too, such as a reverse proxy's; may be "
        'repeated (default: the names of --host and of this machine)',
    )
    parser.add_argument(
        '--port',
        type=int,
        help='port (default: the first free one from 7860)',
    )
    parser.add_argument(
        '--share',
        action='store_true',
        help="also serve it at a public address, through Gradio's servers",
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is stopped; return the exit status."""
    from mmdit.web.folder import run_folder

    # As Ctrl+C, so that the folder is removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    with suppress(KeyboardInterrupt), run_folder() as folder:
        page = make_page(args, folder)
        from mmdit.web.serving import serve

        serve(
            page,
            folder,
            args.host,
            args.allow_host,
            server_port=args.port,
            share=args.share,
        )
        page.block_thread()
    return 0


def make_page(args: argparse.Namespace, folder: 'RunFolder') -> 'gr.Blocks':
    """Return the page of a model, or one that says how to get a model."""
    # Read by Gradio when it is imported.
    os.environ |= SETTINGS | dict(GRADIO_TEMP_DIR=str(folder.path))
    try:
        from mmdit.web.page import build_page, explain
        from mmdit.web.store import SessionStore
    except ModuleNotFoundError as error:
        if error.name != 'gradio':
            raise
        raise ImportError(
            "mmdit web needs 'gradio'; run: pip install mmdit-seg[web]"
        ) from error
    from mmdit.checkpoints.work_dir import list_checkpoints

    named = choose_model(args)
    if named == (None, None) and not list_checkpoints(Path(QUICKSTART)):
        return explain(NO_MODEL)
    model = load_model(args, args.device)
    about = ', '.join(Path(n).name for n in named if isinstance(n, str))
    about = f'{about or QUICKSTART}: {model.description}'
    return build_page(model, about, SessionStore(), folder)


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and run it; return the exit status."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(argv)
    return guard(lambda: run(args))
