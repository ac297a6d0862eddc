"""Draw which part of the package imports which, from the imports themselves.

``python docs/draw_modules.py`` writes the diagram in ``docs/architecture.md``
anew. A test checks that it is up to date, and that arrows point down only.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs' / 'architecture.md'
# From top to bottom; each imports those below it.
PACKAGES = (
    'cli',
    'web',
    'apis',
    'hub',
    'export',
    'engine',
    'models',
    'checkpoints',
    'evaluation',
    'datasets',
    'visualization',
    'runtime',
    'base',
)
_PLACE = re.compile(r'(?<=```mermaid\n).*?(?=```)', re.DOTALL)


def find_imports(path: Path) -> set[str]:
    """Return the modules of the package that a file imports anywhere."""
    package = list(path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1]
            parts = above * bool(node.level) + (node.module or '').split('.')
            base = '.'.join(filter(None, parts))
            found |= {f'{base}.{alias.name}' for alias in node.names}
    return {name for name in found if name.startswith('mmdit.')}


def package_of(module: str) -> str:
    """Return the package of a module, for single files the base of all."""
    name = module.split('.')[1]
    if name == '__main__':
        return 'cli'
    return name if (ROOT / 'mmdit' / name).is_dir() else 'base'


def find_arrows() -> dict[tuple[str, str], list[str]]:
    """Return, for each package that imports another, where it does."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for path in sorted((ROOT / 'mmdit').rglob('*.py')):
        if '.mim' in path.parts:
            continue
        module = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        for name in sorted(find_imports(path)):
            arrow = package_of(module), package_of(name)
            if arrow[0] != arrow[1]:
                arrows.setdefault(arrow, []).append(f'{module} -> {name}')
    return arrows


def draw() -> str:
    """Return the diagram, without arrows that follow from others."""
    arrows = {arrow for arrow in find_arrows() if arrow[0] != 'base'}
    below: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for package in reversed(PACKAGES):
        for upper, lower in arrows:
            if upper == package:
                below[package] |= {lower} | below[lower]
    lines = ['flowchart TD']
    for upper in PACKAGES:
        direct = {lower for package, lower in arrows if package == upper}
        for lower in sorted(direct, key=PACKAGES.index):
            if not any(lower in below[other] for other in direct):
                lines.append(f'    {upper} --> {lower}')
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Write the diagram into the page."""
    page = PAGE.read_text(encoding='utf-8')
    PAGE.write_text(_PLACE.sub(draw(), page, count=1), encoding='utf-8')


if __name__ == '__main__':
    main()
