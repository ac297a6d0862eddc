"""``mmdit COMMAND``: one name for what the tools do.

No module that needs torch is imported before a command is chosen.
"""

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import metadata

import mmdit
from mmdit.cli.commands import COMMANDS
from mmdit.cli.running import guard, run
from mmdit.version import __version__

OK, FAILED, USAGE = 0, 1, 2


def overview() -> str:
    """Return the help of ``mmdit`` itself."""
    width = max(map(len, COMMANDS))
    lines = [
        'usage: mmdit COMMAND [ARGUMENTS]',
        '',
        'Referring image segmentation with SAM.',
        '',
    ]
    for name, command in COMMANDS.items():
        lines.append(f'  {name:<{width}}  {command.summary}')
        lines.append(f'  {"":<{width}}  $ mmdit {name} {command.example}')
    lines += [
        '',
        'mmdit COMMAND --help lists the arguments of a command. CONFIG is the',
        'path of a config, or the name of one that comes with mmdit.',
        'Exit status: 0 done, 1 failed, 2 wrong arguments, 130 interrupted.',
        'MMDIT_DEBUG=1 shows where an error comes from.',
    ]
    return '\n'.join(lines) + '\n'


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command and its arguments; by default those of the
            process.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong arguments.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if not given:
        sys.stderr.write(overview())
        return USAGE
    name, *rest = given
    if name in ('-h', '--help', 'help'):
        sys.stdout.write(overview())
        return OK
    if name in ('-V', '--version'):
        sys.stdout.write(f'mmdit {__version__}\n')
        sys.stderr.write(other_project())
        return OK
    if name not in COMMANDS:
        return _reject(name)
    if not hasattr(mmdit, '__version__'):
        sys.stderr.write(other_project())
        return FAILED
    module = COMMANDS[name].module
    return guard(lambda: run(module, f'mmdit {name}', rest))


def other_project() -> str:
    """Say what to do where the package index's own mmdit is installed."""
    try:
        found = metadata.metadata('mmdit')
    except metadata.PackageNotFoundError:
        return ''
    if str(found['Summary']).startswith('Deep Instruction Tuning'):
        return ''  # this project, before it was called mmdit-seg
    return (
        f'mmdit: {found["Name"]} {found["Version"]} of the package index is '
        'installed, another project with the same import name; run: pip '
        'uninstall mmdit, then install mmdit-seg again (pip install '
        '--force-reinstall --no-deps)\n'
    )


def _reject(name: str) -> int:
    """Say which command may have been meant."""
    near = get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
    advice = f'did you mean {near[0]!r}?' if near else 'mmdit --help lists all'
    sys.stderr.write(f'mmdit: unknown command {name!r}; {advice}\n')
    return USAGE
