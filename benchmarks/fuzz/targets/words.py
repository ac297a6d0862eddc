"""Expressions, prompts, result rows and a hub folder's config."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmseg.structures import SegDataSample

from mmdit.apis.samples import add_prompts
from mmdit.hub.folder import load_folder
from mmdit.models.text_encoders import BertTextEncoder
from mmdit.registry import MODELS
from mmdit.runtime.prompts import broadcast_prompts
from mmdit.visualization.report.rows import check_same_items, read_results
from mmdit.web.session import read_expressions

from ..formats import mutate_csv
from ..judging import Target
from ..trees import TEXTS, mutate_bytes, mutate_json

_WORDS = '[PAD] [UNK] [CLS] [SEP] [MASK] the red a left ##ft ##s 字 é . ,'
_BERT = dict(
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=16,
)


def _write_vocabulary(folder: Path) -> str:
    path = folder / 'vocab.txt'
    path.write_text('\n'.join(_WORDS.split()) + '\n', encoding='utf-8')
    return str(path)


def make_expressions(folder: Path) -> Target:
    """What a person queries."""
    path = folder / 'expression.txt'
    encoder = BertTextEncoder(
        config=_BERT, vocab_file=_write_vocabulary(folder), max_tokens=8
    )

    def text() -> str:
        return path.read_bytes().decode('utf-8', 'surrogatepass')

    def decoded(use: Callable[[str], Any]) -> Callable[[], Any]:
        def reader() -> Any:
            try:
                content = text()
            except UnicodeDecodeError:  # such text reaches no reader
                content = path.read_bytes().decode('latin-1')
            return use(content)

        return reader

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.3:
            return mutate_bytes(data, random)
        text = data.decode('utf-8', 'replace')
        place = random.randrange(len(text) + 1)
        characters = (chr(random.randrange(0x110000)) for _ in range(3))
        piece = random.choice((*TEXTS, *characters))
        changed = text[:place] + piece * random.choice((1, 1, 1, 9))
        return (changed + text[place:]).encode('utf-8', 'surrogatepass')

    known = len(encoder.tokenizer)

    def tokenize(text: str) -> None:
        ids, mask = encoder.tokenize([text, None])
        assert ids.min() >= 0 and ids.max() < known
        assert ids.shape == mask.shape == (2, 8) and mask[:, 0].all()

    words = ('the red thing', 'The  LEFT\tone.', '字é 🙂 \u200d', 'a\nb\n\nc')
    return Target(
        path,
        [
            decoded(tokenize),
            decoded(read_expressions),
        ],
        [word.encode() for word in words],
        mutate,
    )


def _rows(generalized: bool) -> list[dict]:
    no_target = dict(no_target=True) if generalized else {}
    return [
        dict(
            image_id=i,
            ref_id=2,
            ann_id=None if generalized else 3,
            sent_id=i,
            expression='the red, "one"',
            img_path='images/1.png',
            intersection=10 * i,
            union=20,
            height=40,
            width=60,
            ground_truth=0 if generalized else 15,
            predicted=15,
            **no_target,
        )
        for i in range(2)
    ]


def _read_rows(path: Path) -> Callable[[], None]:
    def rows() -> None:
        results = read_results(path)
        check_same_items(results, results)
        assert len(results.iou) == len(results.no_target) == len(results)

    return rows


def make_rows_json(folder: Path) -> Target:
    """Result rows as JSON."""
    path = folder / 'rows.json'
    rows = [_rows(False), _rows(True)]
    return Target(
        path,
        [_read_rows(path)],
        [json.dumps(content).encode() for content in rows],
        mutate_json,
        (path.name, 'rows cannot'),
    )


def make_rows_csv(folder: Path) -> Target:
    """Result rows as CSV."""
    path = folder / 'rows.csv'
    seeds = []
    for rows in (_rows(False), _rows(True)):
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        seeds.append(text.getvalue().encode())
    return Target(path, [_read_rows(path)], seeds, mutate_csv, (path.name,))


def _model() -> dict:
    """Return a small model as a hub folder describes it."""
    return dict(
        type='mmdit.ReferringSegmentor',
        data_preprocessor=dict(
            type='mmdit.ReferDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            size={'__tuple__': [32, 32]},
        ),
        text_encoder=None,
        backbone=dict(
            type='mmdit.SAMViT',
            arch=dict(embed_dims=16, depth=1, num_heads=2),
            patch_size=8,
            img_size=64,
            window_size=0,
            out_channels=32,
        ),
        decode_head=dict(
            type='mmdit.SAMMaskHead', embed_dims=32, num_heads=2, mlp_dims=32
        ),
    )


def make_hub_config(folder: Path) -> Target:
    """``config.json`` of a hub folder, and the model that it describes."""
    path = folder / 'config.json'
    with open(folder / 'model.safetensors', 'wb') as file:
        file.truncate(1 << 20)  # about as large as that of the model
    pipeline = [
        dict(type='LoadReferImage'),
        dict(type='Resize', scale={'__tuple__': [32, 32]}, keep_ratio=True),
        dict(type='PackReferSegInputs'),
    ]
    content = dict(
        default_scope='mmdit',
        model=_model(),
        test_dataloader=dict(batch_size=1, dataset=dict(pipeline=pipeline)),
    )

    def build() -> None:
        cfg, _ = load_folder(folder)
        with DefaultScope.overwrite_default_scope('mmdit'):
            MODELS.build(cfg.model)

    return Target(
        path,
        [build],
        [json.dumps(content).encode()],
        mutate_json,
        (path.name,),
        seconds=5.0,
    )


def make_prompts(folder: Path) -> Target:
    """Points, boxes and masks, as JSON of the page or of Python."""
    path = folder / 'prompts.json'
    points = dict(point_coords=[[1, 2], [3.5, 4]], point_labels=[1, 0])
    some = dict(points, box=[1, 2, 10, 12])
    many = dict(
        point_coords=[[[1, 2]], None],
        point_labels=[[1], None],
        box=[None, [0, 0, 60, 40]],
    )
    mask = dict(mask_input=np.zeros((1, 4, 4)).tolist())
    names = ('point_coords', 'point_labels', 'box', 'mask_input')

    def prompts() -> None:
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError):  # such a body reaches nobody
            return
        if not isinstance(content, dict):
            return
        number = 2 if content.get('number') == 2 else 1
        given = {key: content.get(key) for key in names}
        for one in broadcast_prompts(number, **given):
            one.check_within((40, 60), 'photo.png')
            sample: BaseDataElement = SegDataSample()
            shapes = dict(ori_shape=(40, 60), img_shape=(32, 32))
            sample.set_metainfo(shapes)
            add_prompts(sample, one)

    trees = [some, dict(many, number=2), mask]
    return Target(
        path,
        [prompts],
        [json.dumps(tree).encode() for tree in trees],
        mutate_json,
    )
