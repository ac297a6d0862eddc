"""Annotations of other tools become rows that training accepts.

The files follow what each tool publishes: the examples of CVAT's and Label
Studio's documentation, the keys that labelme 5 and 6 write, Roboflow's and
MDETR's layouts of COCO's format.
"""

import base64
import json
from io import BytesIO

import numpy as np
import pytest
from brushes import RUNS, brushed
from PIL import Image
from pycocotools import mask as coco_mask

from mmdit.datasets import ReferJSONLDataset
from mmdit.datasets.checking import check_jsonl
from mmdit.datasets.converting import convert
from mmdit.datasets.reading.foreign import recognize
from mmdit.datasets.reading.rows import read_rows
from mmdit.datasets.reading.segmentations import draw_mask
from mmdit.datasets.transforms import LoadReferImage, LoadReferMask

SQUARE = [[10, 5], [30, 5], [30, 20], [10, 20]]
FLAT = [[10, 5, 30, 5, 30, 20, 10, 20]]


def picture(path, size=(40, 60), orientation=None):
    """Write an image of (height, width), perhaps with a note to turn it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(size[0])
    image = Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8))
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    image.save(path, exif=exif)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding='utf-8')
    return path


def rows_of(path):
    """Return the rows of a file that the checker finds usable."""
    report = check_jsonl(path)
    assert not report.broken, report.problems
    return [row for _, row in read_rows(path)]


def run(kind, source, **options):
    out = source.parent / 'out' / 'own.jsonl'
    done = convert(kind, source, out, **options)
    return done, rows_of(out)


def coco(**annotation):
    one = dict(id=7, image_id=3, category_id=1, bbox=[10, 5, 20, 15], area=300)
    return dict(
        info={},
        licenses=[],
        images=[dict(id=3, file_name='a.jpg', height=40, width=60)],
        annotations=[{**one, 'segmentation': FLAT, **annotation}],
        categories=[dict(id=1, name='traffic_light', supercategory='')],
    )


@pytest.mark.parametrize(
    ('said', 'expected'),
    [
        (dict(caption='The man'), ['the man']),
        (dict(expressions=['a', 'b']), ['a', 'b']),
        # RefCOCO's.
        (dict(sentences=[dict(sent='a cup', raw='A cup.')]), ['a cup']),
        # CVAT's COCO export.
        (dict(attributes=dict(occluded=False, caption='x')), ['x']),
    ],
)
def test_coco_captions_are_found(tmp_path, said, expected):
    picture(tmp_path / 'coco/images/val2017/a.jpg')
    path = write(
        tmp_path / 'coco/annotations/instances_val2017.json', coco(**said)
    )
    assert recognize(path) == recognize(path.parents[1]) == 'coco'
    done, rows = run('coco', tmp_path / 'coco')
    assert [row.expression for row in rows] == expected
    assert rows[0].mask == FLAT and rows[0].name == 7
    assert done.left_out == {}


def test_captions_of_images_belong_to_all_their_annotations(tmp_path):
    content = coco()
    content['images'][0]['caption'] = 'both of them'
    more = dict(content['annotations'][0], id=8)
    more['segmentation'] = [[40, 5, 50, 5, 50, 20]]
    content['annotations'].append(more)
    picture(tmp_path / 'a.jpg')
    path = write(tmp_path / 'finetune_refcoco_train.json', content)
    _, (row,) = run('coco', path)
    assert row.expression == 'both of them'
    assert row.mask == [*FLAT, *more['segmentation']]


def test_without_words_the_way_to_them_is_said(tmp_path):
    picture(tmp_path / 'a.jpg')
    path = write(tmp_path / 'x.json', coco(comment='the big one'))
    with pytest.raises(ValueError, match=r'there are: comment.*category'):
        run('coco', path)
    _, (row,) = run('coco', path, key='comment')
    assert row.expression == 'the big one'


def test_roboflow_categories_make_one_row_for_all_of_a_kind(tmp_path):
    content = coco()
    for number, box in enumerate(([], [[40, 5, 50, 5, 50, 20]]), 8):
        one = dict(content['annotations'][0], id=number, segmentation=box)
        content['annotations'].append(one)
    for split in ('train', 'valid'):
        picture(tmp_path / 'robo' / split / 'a.jpg')
        write(tmp_path / 'robo' / split / '_annotations.coco.json', content)
    with pytest.raises(ValueError, match='2 files of annotations'):
        run('roboflow', tmp_path / 'robo')
    done, (row,) = run('roboflow', tmp_path / 'robo/train', key='category')
    assert row.expression == 'traffic light' and len(row.mask) == 2
    assert sum(map(len, done.left_out.values())) == 1


def labelme(*shapes, **changes):
    return (
        dict(
            version='5.2.1',
            flags={},
            shapes=[
                dict(
                    label='person',
                    points=SQUARE,
                    group_id=None,
                    description='',
                    shape_type='polygon',
                    flags={},
                    mask=None,
                )
                | shape
                for shape in shapes
            ],
            imagePath='..\\photos\\a.jpg',
            imageData=None,
            imageHeight=40,
            imageWidth=60,
        )
        | changes
    )


def test_labelme_shapes_become_masks(tmp_path):
    picture(tmp_path / 'photos/a.jpg')
    part = BytesIO()
    Image.fromarray(brushed()[5:20, 10:30] * 255).save(part, 'PNG')
    content = labelme(
        dict(description='the man in red'),
        dict(
            description='a ball',
            shape_type='circle',
            points=[[30, 20], [40, 20]],
        ),
        dict(
            description='brushed',
            shape_type='mask',
            points=[[10.0, 5.0], [29.0, 19.0]],
            mask=base64.b64encode(part.getvalue()).decode(),
        ),
        dict(description='a box', shape_type='rectangle', points=SQUARE[::2]),
        # Two parts of one thing, described once.
        dict(group_id=1, description='dog behind a pole'),
        dict(group_id=1, points=[[40, 5], [50, 5], [50, 20]]),
        dict(points=SQUARE),
    )
    write(tmp_path / 'labels/a.json', content)
    assert recognize(tmp_path / 'labels') == 'labelme'
    done, rows = run('labelme', tmp_path / 'labels')
    masks = {row.expression: draw_mask(row.mask, 40, 60) for row in rows}
    assert list(masks) == [
        'the man in red',
        'a ball',
        'brushed',
        'dog behind a pole',
    ]
    assert masks['the man in red'].sum() == 300
    assert masks['a ball'].sum() == pytest.approx(np.pi * 100, rel=0.03)
    np.testing.assert_array_equal(masks['brushed'], brushed())
    assert (
        masks['dog behind a pole'][6, 48]
        and masks['dog behind a pole'].sum() > 300
    )
    assert [len(cases) for cases in done.left_out.values()] == [1, 1]


def test_labels_may_be_the_expressions(tmp_path):
    picture(tmp_path / 'a.jpg')
    shapes = [dict(label='left cup'), dict(label='left cup')]
    path = write(tmp_path / 'a.json', labelme(*shapes, imagePath='a.jpg'))
    assert len(run('labelme', path, key='label')[1]) == 2
    assert len(run('labelme', path, key='category')[1]) == 1


# After https://docs.cvat.ai, "CVAT for images 1.1".
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><name>segmentation</name></task></meta>
  <image id="0" name="a.jpg" width="60" height="40">
    <box label="plate" xtl="7.33" ytl="8.92" xbr="9.52" ybr="9.94"
      occluded="0" z_order="4"></box>
    <polygon label="car" points="10.00,5.00;30.00,5.00;30.00,20.00;10,20"
      occluded="0" z_order="1" source="manual">
      <attribute name="caption">the car
        in front</attribute>
      <attribute name="parked">true</attribute>
    </polygon>
    <mask label="car" source="manual" occluded="0" rle="3, 5, 7, 7, 5, 9, 3,
      11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3"
      left="40" top="20" width="13" height="15" z_order="0">
      <attribute name="caption">a wheel</attribute>
    </mask>
    <ellipse label="car" cx="30" cy="20" rx="10" ry="5" rotation="90">
      <attribute name="caption">the lamp</attribute>
    </ellipse>
  </image>
</annotations>
"""


def test_cvat_shapes_become_masks(tmp_path):
    picture(tmp_path / 'task/images/a.jpg')
    write(tmp_path / 'task/annotations.xml', CVAT)
    assert recognize(tmp_path / 'task') == 'cvat'
    done, rows = run('cvat', tmp_path / 'task')
    words = [row.expression for row in rows]
    assert words == ['the car in front', 'a wheel', 'the lamp']
    car, wheel, lamp = (draw_mask(row.mask, 40, 60) for row in rows)
    assert car.sum() == 300
    box = wheel[20:35, 40:53]
    assert wheel.sum() == box.sum() == 149
    assert box[0].tolist() == [0] * 3 + [1] * 5 + [0] * 5
    assert box[7].all() and box[8].all()
    rows, columns = lamp.nonzero()
    assert 18 <= np.ptp(rows) <= 20 and 8 <= np.ptp(columns) <= 10
    assert list(map(len, done.left_out.values())) == [1]


def test_cvat_masks_are_those_that_cvat_writes(tmp_path):
    """The runs are read as CVAT itself reads them for its export to COCO.

    There (cvat/apps/dataset_manager/formats/transformations.py at 0086cd4)
    they are COCO's of the box lying on its side; the numbers are written as
    in cvat.py beside it, with spaces, a run of nothing first where the first
    pixel is inside, and the box's last pixel included in its size.
    """
    rng = np.random.default_rng(0)
    parts = [(rng.random((9, 14)) < 0.5).astype(np.uint8) for _ in range(2)]
    for part, first in zip(parts, (0, 1), strict=True):
        part[0, 0] = first
    masks = []
    for number, part in enumerate(parts):
        edges = np.flatnonzero(np.diff(part.ravel(), prepend=0, append=2))
        runs = np.diff(edges, prepend=0).tolist()
        on_its_side = dict(counts=runs, size=list(part.shape[::-1]))
        drawn = coco_mask.decode(coco_mask.frPyObjects(on_its_side, 14, 9)).T
        np.testing.assert_array_equal(drawn, part)
        masks.append(
            '<mask label="car" source="manual" occluded="0" '
            f'rle="{str(runs)[1:-1]}" left="{30 + number}" top="7" '
            'width="14" height="9" z_order="0" group_id="0">'
            f'<attribute name="caption">car {number}</attribute></mask>'
        )
    others = """
    <tag label="good_frame" source="manual"></tag>
    <polyline label="line" points="1.00,0.00;2.00,9.00" z_order="3"></polyline>
    <skeleton label="s1" source="manual" z_order="0">
      <points label="1" occluded="0" source="manual" outside="0"
        points="5.47,9.81"></points>
    </skeleton>"""
    image = '<image id="0" name="b/a.jpg" subset="Train" task_id="3" '
    content = (
        '<annotations><version>1.1</version><meta><job><id>1</id></job></meta>'
        f'{image} width="60" height="40">{others}{"".join(masks)}</image>'
        '</annotations>'
    )
    # Exports of a project.
    picture(tmp_path / 'project/images/Train/b/a.jpg')
    write(tmp_path / 'project/annotations.xml', content)
    done, rows = run('cvat', tmp_path / 'project')
    assert [row.expression for row in rows] == ['car 0', 'car 1']
    for number, (row, part) in enumerate(zip(rows, parts, strict=True)):
        whole = draw_mask(row.mask, 40, 60)
        box = np.s_[7:16, 30 + number : 44 + number]
        np.testing.assert_array_equal(whole[box], part)
        assert whole.sum() == part.sum()
    assert list(map(len, done.left_out.values())) == [3]


def test_a_document_that_declares_entities_is_rejected(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><annotations>&a;</annotations>'
    with pytest.raises(ValueError, match='DOCTYPE'):
        run('cvat', write(tmp_path / 'annotations.xml', bomb))


def region(name, kind, value, **more):
    return dict(
        original_width=60,
        original_height=40,
        image_rotation=0,
        value=value,
        id=name,
        from_name='label',
        to_name='image',
        type=kind,
        origin='manual',
        **more,
    )


def studio(*results, image='/data/upload/1/0123abcd-a.jpg'):
    said = dict(completed_by=1, ground_truth=False)
    return [
        dict(
            id=1,
            data=dict(image=image),
            annotations=[
                dict(id=1, was_cancelled=True, result=[], **said),
                dict(id=2, was_cancelled=False, result=list(results), **said),
            ],
        )
    ]


def polygon(name):
    percent = [[x / 0.6, y / 0.4] for x, y in SQUARE]
    value = dict(points=percent, closed=True, polygonlabels=['Car'])
    return region(name, 'polygonlabels', value)


def test_label_studio_regions_become_masks(tmp_path):
    picture(tmp_path / 'ls/images/a.jpg')
    about = dict(x=0, y=0, text=['the red car', 'car on the left'])
    brush = dict(format='rle', rle=RUNS, brushlabels=['Car'])
    box = dict(x=1, y=1, width=9, height=9, rotation=0)
    results = [
        polygon('one'),
        dict(region('one', 'textarea', about), from_name='caption'),
        region('two', 'brushlabels', brush, meta=dict(text=['brushed car'])),
        region('three', 'rectanglelabels', box),
    ]
    write(tmp_path / 'ls/export.json', studio(*results))
    assert recognize(tmp_path / 'ls') == 'label-studio'
    done, rows = run('label-studio', tmp_path / 'ls')
    words = [row.expression for row in rows]
    assert words == ['the red car', 'car on the left', 'brushed car']
    assert draw_mask(rows[0].mask, 40, 60).sum() == 300
    np.testing.assert_array_equal(draw_mask(rows[2].mask, 40, 60), brushed())
    assert list(map(len, done.left_out.values())) == [1]
    named = run('label-studio', tmp_path / 'ls', key='caption')[1]
    assert [row.expression for row in named] == words[:2]


@pytest.mark.parametrize(
    'url',
    [
        '/data/local-files/?d=my%20photos/a.jpg',
        's3://bucket/photos/a.jpg',
        'https://example.org/photos/a.jpg?size=1',
    ],
)
def test_label_studio_images_are_found_by_name(tmp_path, url):
    picture(tmp_path / 'a.jpg')
    path = write(tmp_path / 'x.json', studio(polygon('one'), image=url))
    assert len(run('label-studio', path, key='category')[1]) == 1


def test_json_min_is_rejected(tmp_path):
    path = write(tmp_path / 'x.json', [dict(image='a.jpg', label=[])])
    with pytest.raises(ValueError, match='JSON-MIN'):
        run('label-studio', path)


@pytest.mark.parametrize('mark', [',', ';'])
def test_masks_of_numbers_and_of_yes_and_no(tmp_path, mark):
    root = tmp_path / 'own'
    picture(root / 'images/a.jpg')
    picture(root / 'images/b.jpg')
    (root / 'masks').mkdir()
    labels = np.zeros((40, 60), np.uint16)
    labels[:10], labels[20:] = 1, 300
    Image.fromarray(labels).save(root / 'masks/a.png')
    Image.fromarray(brushed() * 255).save(root / 'masks/other.png')
    table = [
        ['Image', 'mask', 'id', 'expression'],
        ['a.jpg', '', '1', 'the sky'],
        ['a.jpg', '', '300', 'the ground'],
        ['b.jpg', 'other.png', '', 'a ring'],
        ['a.jpg', '', '5', 'what is not there'],
        ['b.jpg', 'none.png', '', 'a mask that is not there'],
    ]
    lines = [mark.join(row) for row in table]
    write(root / 'expressions.csv', '\ufeff' + '\n'.join(lines))
    done, rows = run('masks', root)
    drawn = [draw_mask(row.mask, 40, 60).sum() for row in rows]
    assert drawn == [600, 1200, 280]
    assert set(done.left_out) == {'empty masks', 'cannot be read'}


# Where (2, 0) of the upright image, 40 wide and 60 high, lies as stored.
@pytest.mark.parametrize('orientation', [6, 8])
def test_photos_that_viewers_turn_keep_their_masks(tmp_path, orientation):
    picture(tmp_path / 'a.jpg', (40, 60), orientation)
    content = labelme(
        dict(description='top left', points=[[0, 0], [9, 0], [9, 9], [0, 9]]),
        imagePath='a.jpg',
        imageHeight=60,
        imageWidth=40,
    )
    out = tmp_path / 'own.jsonl'
    convert('labelme', write(tmp_path / 'a.json', content), out)
    (row,) = rows_of(out)
    assert row.turn_by_exif and row.size == (60, 40)
    item = ReferJSONLDataset(ann_file=str(out), serialize_data=False)[0]
    item = LoadReferMask()(LoadReferImage()(item))
    assert item['img'].shape == (60, 40, 3)
    shown = Image.open(tmp_path / 'a.jpg')
    upright = np.asarray(shown.transpose({6: 4, 8: 2}[orientation]))
    assert np.abs(item['img'][..., ::-1] - upright.astype(int)).mean() < 3
    assert item['gt_seg_map'][:9, :9].all() and item['gt_seg_map'].sum() == 81


def test_half_turns_are_taken_as_the_tool_shows_them(tmp_path):
    picture(tmp_path / 'a.jpg', orientation=3)
    path = write(tmp_path / 'a.json', labelme({}, imagePath='a.jpg'))
    done, (row,) = run('labelme', path, key='label')
    assert row.turn_by_exif and list(done.unsure.values()) == ['upright']
    done, (row,) = run('labelme', path, key='label', exif='stored')
    assert row.turn_by_exif is None and not done.unsure


def test_images_are_held_out(tmp_path):
    content = coco(caption='it')
    for number in range(10, 30):
        picture(tmp_path / f'{number}.jpg')
        entry = dict(content['images'][0], file_name=f'{number}.jpg')
        content['images'].append(dict(entry, id=number))
        one = dict(content['annotations'][0], id=number, image_id=number)
        content['annotations'].append(one)
    del content['images'][0], content['annotations'][0]
    path = write(tmp_path / 'x.json', content)
    _, rows = run('coco', path, val=tmp_path / 'val.jsonl')
    held = [row.image for row in rows_of(tmp_path / 'val.jsonl')]
    assert (len(rows), len(held)) == (18, 2)
    stems = {row.image.rpartition('/')[2] for row in rows}
    assert not stems & set(held)


def test_missing_images_are_said(tmp_path):
    path = write(tmp_path / 'x.json', coco(caption='it'))
    with pytest.raises(ValueError, match=r'missing images \(1\).*--images'):
        run('coco', path)


def test_images_of_another_size_are_left_out(tmp_path):
    picture(tmp_path / 'a.jpg', (41, 60))
    path = write(tmp_path / 'x.json', coco(caption='it'))
    with pytest.raises(ValueError, match='drawn on 40x60'):
        run('coco', path)
