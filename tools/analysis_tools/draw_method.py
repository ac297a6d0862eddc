"""Draw how text enters SAM: ``draw_method.py docs/images/method.svg``."""

import argparse
from collections.abc import Iterator
from pathlib import Path

WIDTH, HEIGHT = 960, 330
# Middles of the three rows: image, projections, text.
IMAGE, PROJECTION, TEXT = 90, 178, 258
BLOCKS = {'1': 250, '2': 350, '⋯': 450, 'D': 550}
DECODER = 735
IMAGE_COLOR, TEXT_COLOR, INK = '#2f6fb0', '#c2410c', '#1c1c1e'
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" \
viewBox="0 0 {width} {height}" font-family="Helvetica, Arial, sans-serif" \
font-size="14" text-anchor="middle" role="img">
<title>Layer-wise deep instruction tuning</title>
<desc>Text tokens of BERT are projected anew for every block of SAM's image \
encoder, join its image tokens there, and prompt the mask decoder.</desc>
<defs>{markers}</defs>
<rect width="{width}" height="{height}" fill="#ffffff"/>"""
MARKER = (
    '<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" '
    'markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="{color}"/></marker>'
)


def box(
    x: int, y: int, width: int, height: int, color: str, *lines: str
) -> Iterator[str]:
    """Draw a box around its middle (x, y), with lines of text."""
    yield (
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" '
        f'width="{width}" height="{height}" rx="7" fill="{color}" '
        f'fill-opacity="0.12" stroke="{color}" stroke-width="1.5"/>'
    )
    for n, line in enumerate(lines):
        yield words(x, y + 5 + 17 * n - 17 * (len(lines) - 1) / 2, line)


def words(
    x: float, y: float, text: str, color: str = INK, size: int = 14
) -> str:
    """Write a line of text."""
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{color}" font-size="{size}">'
        f'{text}</text>'
    )


def line(color: str, *points: tuple[int, int], arrow: bool = True) -> str:
    """Draw a line through points, with an arrow at its end."""
    name = 'text' if color == TEXT_COLOR else 'image'
    end = f' marker-end="url(#{name})"' if arrow else ''
    path = ' '.join(f'{x},{y}' for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{color}" '
        f'stroke-width="1.8"{end}/>'
    )


def draw() -> str:
    """Return the figure as SVG."""
    markers = ''.join(
        MARKER.format(name=name, color=color)
        for name, color in (('image', IMAGE_COLOR), ('text', TEXT_COLOR))
    )
    parts = [HEAD.format(width=WIDTH, height=HEIGHT, markers=markers)]
    parts += box(70, IMAGE, 100, 48, IMAGE_COLOR, 'image')
    parts += box(70, TEXT, 100, 48, TEXT_COLOR, '“the man', 'in red”')
    parts += box(175, TEXT, 76, 48, TEXT_COLOR, 'BERT')
    parts += [
        line(IMAGE_COLOR, (120, IMAGE), (218, IMAGE)),
        words(168, IMAGE - 9, 'patches', IMAGE_COLOR, 12),
        line(TEXT_COLOR, (120, TEXT), (136, TEXT)),
        line(TEXT_COLOR, (213, TEXT), (DECODER, TEXT), arrow=False),
        words(390, TEXT + 20, 'text tokens', TEXT_COLOR, 12),
        '<rect x="205" y="40" width="392" height="164" rx="10" fill="none" '
        f'stroke="{INK}" stroke-opacity="0.35" stroke-dasharray="5 4"/>',
        words(
            401,
            30,
            'SAM’s image encoder: in each block, text and image '
            'tokens attend to each other',
            INK,
            13,
        ),
    ]
    for number, (name, x) in enumerate(BLOCKS.items()):
        if name == '⋯':
            parts += [
                words(x, IMAGE + 5, name),
                words(x, PROJECTION + 5, name),
            ]
        else:
            parts += box(x, IMAGE, 62, 70, IMAGE_COLOR, 'block', name)
            parts += box(
                x,
                PROJECTION,
                50,
                32,
                TEXT_COLOR,
                f'W<tspan font-size="10" dy="4">{name}</tspan>',
            )
            parts += [
                line(TEXT_COLOR, (x, TEXT), (x, PROJECTION + 17)),
                line(TEXT_COLOR, (x, PROJECTION - 16), (x, IMAGE + 36)),
            ]
        if number:
            # Dots take less room than a block.
            before, half = (
                (84 if name == 'D' else 69),
                16 if name == '⋯' else 32,
            )
            parts.append(
                line(IMAGE_COLOR, (x - before, IMAGE), (x - half, IMAGE))
            )
    parts += box(DECODER, IMAGE, 110, 70, IMAGE_COLOR, 'SAM’s mask', 'decoder')
    parts += box(DECODER, PROJECTION, 110, 32, TEXT_COLOR, 'projection')
    parts += box(880, IMAGE, 90, 48, IMAGE_COLOR, 'mask')
    parts += [
        line(IMAGE_COLOR, (581, IMAGE), (679, IMAGE)),
        words(637, IMAGE - 9, 'features', IMAGE_COLOR, 12),
        line(IMAGE_COLOR, (790, IMAGE), (834, IMAGE)),
        line(TEXT_COLOR, (DECODER, TEXT), (DECODER, PROJECTION + 17)),
        line(TEXT_COLOR, (DECODER, PROJECTION - 16), (DECODER, IMAGE + 36)),
        words(
            480,
            308,
            'L-DIT. In E-DIT the text enters block 1 alone, and '
            'what comes out of a block enters the next.',
            INK,
            13,
        ),
    ]
    return '\n'.join([*parts, '</svg>', ''])


def main() -> None:
    """Read the command line and write the figure."""
    parser = argparse.ArgumentParser(description='Draw the method as SVG')
    parser.add_argument('out', type=Path, help='where to write')
    parser.parse_args().out.write_text(draw(), encoding='utf-8')


if __name__ == '__main__':
    main()
