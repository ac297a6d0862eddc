"""Small data sets, each with one oddity, and what readers must say of it.

``ODD_SETS`` holds them by form: ``refer`` (instances.json and refs) or
``lines`` (JSON lines). ``write`` makes the valid set, then the oddity.
"""

import json
import pickle
import struct
import zlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

USABLE, WARNED, BROKEN = 'usable', 'usable with warnings', 'broken'
FORMS = ('refer', 'lines')
HEIGHT, WIDTH = 40, 60
SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
NAN, INF = float('nan'), float('inf')


@dataclass(frozen=True)
class OddSet:
    """A data set with one oddity.

    Attributes:
        name: Unique within its form.
        form: ``refer`` or ``lines``.
        verdict: What readers make of it.
        says: A pattern of what they say, where it is broken.
        change: Called with the content (see ``valid``) before it is written.
        damage: Called with the folder afterwards.
    """

    name: str
    form: str
    verdict: str
    says: str = ''
    change: Callable[[dict], Any] = lambda content: None
    damage: Callable[[Path], Any] = lambda root: None

    def __str__(self) -> str:
        return f'{self.form}-{self.name}'


def valid():
    """Return images, annotations and refs without any oddity."""
    names = ('a.png', 'b.jpg')
    return dict(
        images=[
            dict(id=n, file_name=name, height=HEIGHT, width=WIDTH)
            for n, name in enumerate(names, 1)
        ],
        annotations=[
            dict(id=10 * n, image_id=n, segmentation=[list(SQUARE)])
            for n in (1, 2)
        ],
        refs=[
            dict(
                ref_id=n,
                ann_id=10 * n,
                image_id=n,
                split='train',
                sentences=[dict(sent_id=n, sent=f'box {n}', raw='Box')],
            )
            for n in (1, 2)
        ],
        rows=[
            dict(image=f'images/{name}', expression='box', mask=[list(SQUARE)])
            for name in names
        ],
    )


def write(odd: OddSet, root: Path) -> Path:
    """Write a set; return the folder of the data set, or the file."""
    content = deepcopy(valid())
    odd.change(content)
    (root / 'images').mkdir(parents=True)
    for name in ('a.png', 'b.jpg'):
        Image.new('RGB', (WIDTH, HEIGHT), 'gray').save(root / 'images' / name)
    if odd.form == 'lines':
        path = root / 'train.jsonl'
        lines = [json.dumps(row) for row in content['rows']]
        path.write_text('\n'.join(lines) + '\n')
    else:
        path = root / 'odd'
        path.mkdir()
        instances = {k: content[k] for k in ('images', 'annotations')}
        (path / 'instances.json').write_text(json.dumps(instances))
        refs = pickle.dumps(content['refs'], protocol=2)
        (path / 'refs(me).p').write_bytes(refs)
    odd.damage(root)
    return path


def rle(counts, size=(HEIGHT, WIDTH)):
    return dict(size=list(size), counts=counts)


def compressed():
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[5:20, 5:20] = 1
    encoded = coco_mask.encode(mask)
    return dict(size=[HEIGHT, WIDTH], counts=encoded['counts'].decode())


def zigzag(corners=200, far=1e5):
    return [v for n in range(corners) for v in ((n % 2) * far, n)]


def _set_mask(mask):
    def change(content):
        content['annotations'][0]['segmentation'] = mask
        content['rows'][0]['mask'] = mask

    return change


def _no_mask(content):
    del content['annotations'][0]['segmentation']
    del content['rows'][0]['mask']


# Segmentation, verdict, and what is said of it.
MASKS = {
    'tuple-like square': ([SQUARE], USABLE, ''),
    'compressed rle': (compressed(), USABLE, ''),
    'compressed rle in a list': ([compressed()], USABLE, ''),
    'counts': (rle([0, 50, 2350]), USABLE, ''),
    'counts in a list': ([rle([0, 50, 2350])], USABLE, ''),
    'float size': (rle([0, 50, 2350], (40.0, 60.0)), USABLE, ''),
    'polygon and rle': ([SQUARE, rle([0, 50, 2350])], USABLE, ''),
    'float counts': (rle([0.0, 50.0, 2350.0]), WARNED, ''),
    'a point beside': ([SQUARE, [1, 2]], WARNED, ''),
    'nothing beside': ([SQUARE, []], WARNED, ''),
    'two corners beside': ([SQUARE, [1, 2, 3, 4]], WARNED, ''),
    'odd number': ([[*SQUARE, 5]], WARNED, ''),
    'text coordinates': ([[str(v) for v in SQUARE]], WARNED, ''),
    'mixed coordinates': ([['10.5', *SQUARE[1:]]], WARNED, ''),
    'partly outside': ([[10, -20, 30, 10, 10, 30]], WARNED, ''),
    'flat polygon': (SQUARE, BROKEN, 'holds 10, expected a list of polygons'),
    'pairs': ([[[1, 2], [3, 4], [5, 6]]], BROKEN, 'flat list'),
    'null': (None, BROKEN, 'missing'),
    'number': (5, BROKEN, 'is 5, expected polygons'),
    'word': (['square'], BROKEN, 'holds "square"'),
    'null in a polygon': ([[1, 2, None, 4, 5, 6]], BROKEN, 'null'),
    'bool in a polygon': ([[1, 2, True, 4, 5, 6]], BROKEN, 'true'),
    'text that is no number': ([['a', 2, 3, 4, 5, 6]], BROKEN, '"a"'),
    'nan': ([[1, 2, NAN, 4, 5, 6]], BROKEN, 'NaN'),
    'infinity': ([[1, 2, INF, 4, 5, 6]], BROKEN, 'beyond 100000|Infinity'),
    'far': ([[0, 0, 1e7, 0, 1e7, 1e7]], BROKEN, 'beyond 100000'),
    'huge integer': ([[0, 0, 10**400, 0, 5, 5]], BROKEN, 'beyond 100000'),
    'zigzag': ([zigzag()], BROKEN, 'outlines are'),
    'many parts': ([[1, 1, 3, 1, 3, 3]] * 10_001, BROKEN, '10,001 parts'),
    'shares': ([[0.1, 0.1, 0.9, 0.1, 0.9, 1]], BROKEN, 'one pixel'),
    'all outside': ([[90, 90, 99, 90, 99, 99]], BROKEN, 'pixels'),
    'empty list': ([], BROKEN, r'pixels|\[\]'),
    'short only': ([[1, 2, 3, 4]], BROKEN, 'pixels|4 numbers'),
    'rle of zeros': (rle([2400]), BROKEN, 'pixels'),
    'rle without size': (dict(counts=[2400]), BROKEN, "'size' null"),
    'rle without counts': (dict(size=[40, 60]), BROKEN, "'counts' null"),
    'rle of another size': (rle([2400], (60, 40)), BROKEN, r'\[60, 40\]'),
    'rle of a huge size': (rle('0', (10**9, 10**9)), BROKEN, 'of size'),
    'negative counts': (rle([-1, 2401]), BROKEN, '0 or more'),
    'huge counts': (rle([2**32 + 2400]), BROKEN, 'counts 4294969696'),
    'part counts': (rle([0.5, 2399.5]), BROKEN, 'whole numbers'),
    'long number in rle': (rle('o' * 10_000), BROKEN, 'bits'),
    'cut rle': (rle(compressed()['counts'][:-1]), BROKEN, 'RLE counts'),
    'surrogate in rle': (rle('\ud800'), BROKEN, 'the byte'),
}


def image(root, name='a.png'):
    return root / 'images' / name


def _save_turned(number):
    def damage(root):
        exif = Image.Exif()
        exif[0x0112] = number
        Image.new('RGB', (WIDTH, HEIGHT)).save(image(root), exif=exif)

    return damage


def _rename(new):
    return lambda root: image(root).rename(root / 'images' / new)


def _set_name(name):
    def change(content):
        content['images'][0]['file_name'] = name
        content['rows'][0]['image'] = f'images/{name}'

    return change


def _cut(root):
    content = image(root, 'b.jpg').read_bytes()
    image(root, 'b.jpg').write_bytes(content[:400])


def _bomb(root):
    """A PNG that says it has 100,000 x 100,000 pixels."""
    content = bytearray(image(root).read_bytes())
    content[16:24] = struct.pack('>II', 100_000, 100_000)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    image(root).write_bytes(content)


def _say(text):
    def change(content):
        content['refs'][0]['sentences'][0]['sent'] = text
        content['rows'][0]['expression'] = text

    return change


def _add_bom(root):
    for path in (*root.glob('*.jsonl'), *root.glob('odd/instances.json')):
        path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())


# Verdict, what is said, change of the content, damage to the files.
BOTH: dict[str, tuple] = {
    'valid': (USABLE, ''),
    'no mask': (BROKEN, 'missing', _no_mask),
    **{
        f'orientation {n}': (WARNED, '', None, _save_turned(n))
        for n in range(2, 9)
    },
    'other case': (
        BROKEN,
        r'but there is|there is .*A\.PNG',
        None,
        _rename('A.PNG'),
    ),
    'decomposed name': (
        BROKEN,
        'there is .*a\u0308',
        _set_name('\xe4.png'),
        _rename('a\u0308.png'),
    ),
    'backslashes': (
        BROKEN,
        'there is .*sub/a.png',
        _set_name('sub\\a.png'),
        lambda root: (
            (root / 'images/sub').mkdir(),
            image(root).rename(root / 'images/sub/a.png'),
        ),
    ),
    'missing image': (BROKEN, 'a.png', None, lambda r: image(r).unlink()),
    'image is a folder': (BROKEN, 'file', _set_name('.')),
    'cut image': (BROKEN, 'not a complete image', None, _cut),
    'bomb': (BROKEN, 'pixels, expected at most', None, _bomb),
    'page': (
        BROKEN,
        'not a complete image',
        None,
        lambda root: image(root).write_text('<html>'),
    ),
    'no words': (BROKEN, '', _say(' \t ')),
    'null words': (BROKEN, '', _say(None)),
    'list of words': (BROKEN, 'expected some text', _say(['box'])),
    'half a surrogate pair': (BROKEN, 'surrogate', _say('box \ud800')),
    'a million characters': (BROKEN, '1,000,000 char', _say('x' * 10**6)),
    'emoji': (USABLE, '', _say('the \U0001f4e6')),
    'byte order mark': (USABLE, '', None, _add_bom),
    'NUL in a name': (BROKEN, 'NUL', _set_name('a\0.png')),
    'name of 5000 letters': (BROKEN, 'file', _set_name('x' * 5000)),
    'surrogate in a name': (BROKEN, 'surrogate', _set_name('\ud800.png')),
}


def _at(key, number=0, **changes):
    """Change one entry; ``None`` values of ``changes`` are written as null."""
    return lambda content: content[key][number].update(changes)


def _repeat(key):
    """Give both entries the id of the first."""
    return _at(key, 1, id={'images': 1, 'annotations': 10}[key])


def _strings(content):
    for key in ('images', 'annotations', 'refs'):
        for entry in content[key]:
            for name in ('id', 'image_id', 'ref_id'):
                if name in entry:
                    entry[name] = str(entry[name])


def _numpy_ids(content):
    for ref in content['refs']:
        for name in ('ref_id', 'ann_id', 'image_id'):
            ref[name] = np.int64(ref[name])


def _drop(key, name):
    return lambda content: content[key][0].pop(name)


def _refs(content):
    return lambda root: (root / 'odd/refs(me).p').write_bytes(content)


def _instances(text):
    return lambda root: (root / 'odd/instances.json').write_text(text)


REFER: dict[str, tuple] = {
    'two images of one id': (
        BROKEN,
        'two images have the id 1.*a.*b.jpg',
        _repeat('images'),
    ),
    'two annotations of one id': (
        BROKEN,
        'two annotations have the id 10',
        _repeat('annotations'),
    ),
    'one id as number and text': (
        BROKEN,
        'two images have the id 1',
        _at('images', 1, id='1'),
    ),
    'ids as text': (USABLE, '', _strings),
    'image ids as text': (USABLE, '', _at('images', id='1')),
    'float ids': (USABLE, '', _at('annotations', id=10.0)),
    'numpy ids': (USABLE, '', _numpy_ids),
    'named ids': (
        USABLE,
        '',
        lambda c: (
            _at('annotations', id='1_1')(c),
            _at('refs', ann_id='1_1')(c),
        ),
    ),
    'part id': (BROKEN, '1.5', _at('images', id=1.5)),
    'id of 70 bits': (
        BROKEN,
        '1180591620717411303424',
        _at('images', id=2**70),
    ),
    'list as id': (BROKEN, r'\[1\]', _at('refs', ref_id=[1])),
    'no height': (BROKEN, "'height' null", _drop('images', 'height')),
    'zero width': (BROKEN, "'width' 0", _at('images', width=0)),
    'billion pixels': (
        BROKEN,
        "'height' 1000000000",
        _at('images', height=10**9),
    ),
    'size as text': (BROKEN, '\'height\' "40"', _at('images', height='40')),
    'float size of an image': (USABLE, '', _at('images', height=40.0)),
    'other size': (BROKEN, '', _at('images', height=41)),
    'no file name': (BROKEN, "'file_name' null", _drop('images', 'file_name')),
    'annotation missing': (BROKEN, 'ann_id "?99', _at('refs', ann_id=99)),
    'annotation of another image': (BROKEN, '', _at('refs', ann_id=20)),
    'image missing': (BROKEN, 'image_id "?9', _at('refs', image_id=9)),
    'no image_id': (BROKEN, '', _drop('annotations', 'image_id')),
    'no sentences': (WARNED, '', _at('refs', sentences=[])),
    'sentences null': (
        BROKEN,
        'sentences is null',
        _at('refs', sentences=None),
    ),
    'sentence of text': (BROKEN, '"x"', _at('refs', sentences=['x'])),
    'split null': (BROKEN, 'split is null', _at('refs', split=None)),
    'sent_ids twice': (
        WARNED,
        '',
        lambda c: c['refs'][1]['sentences'][0].update(sent_id=1),
    ),
    'no ref_id': (BROKEN, 'lacks ref_id', _drop('refs', 'ref_id')),
    'ref is no dict': (
        BROKEN,
        'entry 0 lacks',
        lambda c: c['refs'].insert(0, 'x'),
    ),
    'memo of gigabytes': (
        BROKEN,
        '',
        None,
        _refs(b'\x80\x02]r\x00\x00\x00\x04}a.'),
    ),
    'code in refs': (
        BROKEN,
        'os.system',
        None,
        _refs(b"cos\nsystem\n(S'id'\ntR."),
    ),
    'array in refs': (
        BROKEN,
        '_reconstruct',
        _at('refs', ann_id=np.arange(3)),
    ),
    'cut refs': (BROKEN, 'not a complete pickle', None, _refs(b'\x80\x02](')),
    'deep instances': (
        BROKEN,
        'not complete JSON',
        None,
        _instances('[' * 100_000),
    ),
    'instances of lists': (
        BROKEN,
        'not in COCO format',
        None,
        _instances('{"images": [[1]], "annotations": []}'),
    ),
}


def _row(**changes):
    return _at('rows', **changes)


def _lines(text):
    def damage(root):
        with open(root / 'train.jsonl', 'a', encoding='utf-8') as file:
            file.write(text)

    return damage


LINES: dict[str, tuple] = {
    'url': (BROKEN, 'which is a URL', _row(image='https://host/a.png')),
    'folder': (BROKEN, 'not a file', _row(image='images')),
    'mask is a folder': (BROKEN, 'not a file', _row(mask='images')),
    'mask is missing': (BROKEN, 'm.png', _row(mask='m.png')),
    'mask is a photograph': (BROKEN, 'JPEG', _row(mask='images/b.jpg')),
    'mask of three channels': (
        BROKEN,
        '3 channels',
        _row(mask='images/a.png'),
    ),
    'no target with a mask': (BROKEN, 'no_target', _row(no_target=True)),
    'no target': (USABLE, '', _row(no_target=True, mask=None)),
    'id of 70 bits': (BROKEN, "'id' is", _row(id=2**70)),
    'id as text': (USABLE, '', _row(id='7')),
    'no image': (BROKEN, "no 'image'", _drop('rows', 'image')),
    'not JSON': (BROKEN, 'not JSON', None, _lines('{"image": ')),
    'deep': (BROKEN, 'too deeply', None, _lines('[' * 100_000)),
    'blank lines': (USABLE, '', None, _lines('\n\n')),
    'number of 5000 digits': (
        BROKEN,
        'digits',
        None,
        _lines('{"a": ' + '9' * 5000 + '}'),
    ),
    'list': (BROKEN, 'is not an object', None, _lines('[1]')),
}


def _odd(name, form, verdict, says='', change=None, damage=None):
    given = dict(change=change, damage=damage)
    given = {key: value for key, value in given.items() if value}
    return OddSet(name, form, verdict, says, **given)


ODD_SETS = (
    [
        OddSet(name, form, verdict, says, _set_mask(mask))
        for name, (mask, verdict, says) in MASKS.items()
        for form in FORMS
    ]
    + [
        _odd(name, form, *told)
        for name, told in BOTH.items()
        for form in FORMS
    ]
    + [_odd(name, 'refer', *told) for name, told in REFER.items()]
    + [_odd(name, 'lines', *told) for name, told in LINES.items()]
)
