"""Result rows that the tests of the report read."""

import csv
import json

import numpy as np

from mmdit.visualization.report import Results

ID_KEYS = ('image_id', 'ref_id', 'ann_id', 'sent_id')


def make_rows(number=40, per_image=2, seed=0, generalized=False):
    """Return random rows, as the metric writes them."""
    rng = np.random.default_rng(seed)
    words = ('red dog on the left', 'man', 'the cup next to the <b>plate</b>')
    rows = []
    for idx in range(number):
        ground_truth = int(rng.integers(1, 400))
        both = int(rng.integers(0, ground_truth + 1))
        predicted = both + int(rng.integers(0, 200))
        nothing = generalized and idx % 5 == 0
        if nothing:
            ground_truth = both = 0
            predicted *= idx % 2
        row = dict(
            sample_idx=idx,
            image_id=idx // per_image,
            ref_id=10 + idx,
            ann_id=20 + idx,
            sent_id=30 + idx,
            expression=words[idx % 3],
            img_path=f'images/{idx // per_image}.jpg',
            height=20,
            width=100,
            ground_truth=ground_truth,
            predicted=predicted,
            intersection=both,
            union=ground_truth + predicted - both,
        )
        row['iou'] = both / row['union'] if row['union'] else 1.0
        if generalized:
            row.update(ann_id=[20, 21], no_target=nothing)
        rows.append(row)
    return rows


def write_json(path, rows):
    path.write_text(json.dumps(rows))
    return path


def write_csv(path, rows):
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_results(intersection, union, images=None, **kwargs):
    """Return results of these pixels, one image each by default."""
    number = len(intersection)
    return Results(
        name=kwargs.pop('name', 'model'),
        items=[
            dict(dict.fromkeys(ID_KEYS, str(i)), expression='x')
            for i in range(number)
        ],
        img_paths=[f'{i}.jpg' for i in (images or range(number))],
        intersection=np.array(intersection),
        union=np.array(union),
        **kwargs,
    )
