"""Data sets that several tests read, and small models that they build."""

import gc
import json
import os
import pickle
import sys
import time
from functools import cache
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock
from pycocotools import mask as coco_mask

REFER_MINI = Path(__file__).parents[2] / 'shared' / 'data' / 'refer_mini'
TINY_SIZES = {1: (40, 60), 2: (50, 30)}
# Two refs may share an annotation; sentence ids count on from 0.
TINY_REFS = (
    # ref_id, ann_id, image_id, split, sentences
    (10, 100, 1, 'train', ['Left  box ', 'the box on the left']),
    (11, 101, 1, 'train', ['right thing', 'thing', 'two pieces']),
    (12, 100, 1, 'train', ['big box']),
    (13, 102, 2, 'train', ['crowd']),
    (14, 103, 2, 'val', ['square', 'bright square']),
    (15, 101, 1, 'val', ['pieces']),
)
# gRefCOCO's: several annotations, one, or none.
TINY_GREFS = (
    (20, [100, 101], 1, 'train', ['everything', 'all  Things']),
    (21, [-1], 1, 'train', ['the elephant']),
    (22, 101, 1, 'train', ['right thing']),
    (23, [102, 103], 2, 'val', ['crowd and square']),
    (24, [-1], 2, 'val', ['the moon', 'a ghost']),
    (25, [103], 2, 'val', ['square']),
)
WORDS = 'the a red blue big small circle square left right of on un ##kn ##own'
TINY_BERT = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
)


# Seconds of a look for garbage among all objects, after which they are frozen.
LONG = 0.1
_look = dict(began=0.0, was_long=False)
_spent = dict(before=0.0)


def pytest_configure(config):
    """Give every process of several one thread; workers inherit it."""
    if config.getoption('numprocesses', None):
        os.environ['OMP_NUM_THREADS'] = '1'
    gc.disable()  # imports make much, and no garbage


def pytest_collection_modifyitems(config, items):
    """Put slow tests first, a share to each process of several.

    Each begins with a part of its own of the list and takes over from the end
    of others' parts, where then short tests are left.
    """
    count = getattr(config, 'workerinput', {}).get('workercount', 1)
    files = {True: {}, False: {}}
    for item in items:
        slow = item.get_closest_marker('slow') is not None
        files[slow].setdefault(item.path, []).append(item)
    slow, fast = (list(files[kind].values()) for kind in (True, False))
    fast = list(chain.from_iterable(fast))
    items.clear()
    for worker in range(count):
        items += chain.from_iterable(slow[worker::count])
        left = len(fast) // (count - worker)
        items += fast[:left]
        fast = fast[left:]


def pytest_collection_finish():
    """Begin to look for garbage, and start autograd."""
    # Where the first backward of a process is a compiled one, autograd starts
    # threads, and no test after it can train in a forked process.
    if 'torch' in sys.modules:
        sys.modules['torch'].zeros((), requires_grad=True).backward()
    freeze()
    gc.callbacks.append(watch)
    gc.enable()
    _spent['before'] = processor_time()


def processor_time():
    """Return the seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Let durations be of processor time, not of waiting for others."""
    report, now = (yield), processor_time()
    report.duration, _spent['before'] = now - _spent['before'], now
    return report


def pytest_terminal_summary(terminalreporter):
    """Say what all tests took; CONTRIBUTING says what they may."""
    reports = chain.from_iterable(terminalreporter.stats.values())
    total = sum(getattr(report, 'duration', 0) for report in reports)
    terminalreporter.write_line(f'{total:.0f} seconds of processor time')


def pytest_runtest_setup():
    """Freeze again after large imports, and whatever else remains."""
    if _look['was_long']:
        freeze()


def watch(phase, info):
    """Notice where Python looks long for garbage."""
    if info['generation'] < 2:
        return
    if phase == 'start':
        _look['began'] = time.thread_time()
    elif time.thread_time() - _look['began'] > LONG:
        _look['was_long'] = True


def freeze():
    """Take what is there out of later looks for garbage.

    Each data set that is built causes one, which takes a second among the
    objects of all packages.
    """
    gc.collect()
    gc.freeze()
    _look['was_long'] = False


@pytest.fixture(scope='session', autouse=True)
def unformatted_configs():
    """Write configs as they are.

    MMEngine formats a config each time that it logs or writes it, which is
    half the time of a short run.
    """
    from yapf.yapflib import yapf_api

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yapf_api, 'FormatCode', lambda text, **_: (text, True))
        yield


@pytest.fixture(scope='session')
def fill_once(tmp_path_factory):
    """Fill a folder in one of several processes, for all; return its path."""

    def fill_once(name, fill):
        root = tmp_path_factory.getbasetemp()
        if 'PYTEST_XDIST_WORKER' in os.environ:
            root = root.parent
        folder, part = root / name, root / f'{name}.part'
        with FileLock(root / f'{name}.lock'):
            if not folder.exists():
                fill(part)
                part.rename(folder)
        return folder

    return fill_once


@pytest.fixture(scope='session')
def refer_mini():
    """Path of 16 real images with real expressions."""
    if not REFER_MINI.is_dir():
        pytest.skip(f'real sample data {REFER_MINI} is not here')
    return REFER_MINI


def _rectangle(left, top, right, bottom):
    return [left, top, right, top, right, bottom, left, bottom]


def _crowd_mask():
    mask = np.zeros(TINY_SIZES[2], np.uint8)
    mask[5:20, 3:9] = 1
    mask[30:45, 10:28] = 1
    return mask


def _uncompressed(mask):
    """Encode a mask the way COCO writes crowds, column by column."""
    counts, current, run = [], 0, 0
    for value in mask.flatten(order='F').tolist():
        if value != current:
            counts.append(run)
            current, run = value, 0
        run += 1
    return dict(counts=[*counts, run], size=list(mask.shape))


def _tiny_annotations():
    square = np.zeros(TINY_SIZES[2], np.uint8, order='F')
    square[10:20, 10:20] = 1
    compressed = coco_mask.encode(square)
    compressed['counts'] = compressed['counts'].decode()
    return [
        (100, 1, [_rectangle(2, 3, 22, 33)], 600),
        (
            101,
            1,
            [_rectangle(40, 5, 50, 15), _rectangle(45, 20, 55, 30)],
            200,
        ),
        (102, 2, _uncompressed(_crowd_mask()), int(_crowd_mask().sum())),
        (103, 2, compressed, 100),
    ]


def _write_images(root):
    """Write the images; return their COCO entries."""
    images = root / 'images' / 'train2014'
    images.mkdir(parents=True, exist_ok=True)
    entries = []
    rng = np.random.default_rng(0)
    for image_id, (height, width) in TINY_SIZES.items():
        name = f'COCO_train2014_{image_id:012d}.jpg'
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        assert cv2.imwrite(str(images / name), pixels)
        entries.append(
            dict(id=image_id, height=height, width=width, file_name=name)
        )
    return entries


def _write_instances(root, dataset):
    """Write images and ``instances.json``; return the data set's folder."""
    annotations = [
        dict(
            id=ann_id,
            image_id=image_id,
            segmentation=segmentation,
            area=area,
            iscrowd=int(ann_id == 102),
            category_id=1,
        )
        for ann_id, image_id, segmentation, area in _tiny_annotations()
    ]
    content = dict(images=_write_images(root), annotations=annotations)
    folder = root / dataset
    folder.mkdir(exist_ok=True)
    (folder / 'instances.json').write_text(json.dumps(content))
    return folder


def _make_refs(rows):
    """Return refs in the format of the REFER tool."""
    refs, sent_id = [], 0
    for ref_id, ann_id, image_id, split, sentences in rows:
        ids = list(range(sent_id, sent_id + len(sentences)))
        sent_id += len(sentences)
        refs.append(
            dict(
                ref_id=ref_id,
                ann_id=ann_id,
                image_id=image_id,
                split=split,
                category_id=1,
                file_name='not_the_name_of_the_image.jpg',
                sent_ids=ids,
                sentences=[
                    dict(sent_id=i, sent=sent, raw=sent, tokens=sent.split())
                    for i, sent in zip(ids, sentences, strict=True)
                ],
            )
        )
    return refs


def write_tiny_refer(
    root, protocol=2, dataset='refcoco', split_by='unc', refs=TINY_REFS
):
    """Write a data set with every kind of segmentation below ``root``."""
    folder = _write_instances(root, dataset)
    with open(folder / f'refs({split_by}).p', 'wb') as file:
        pickle.dump(_make_refs(refs), file, protocol=protocol)
    return root


def write_tiny_grefer(root):
    """Write ``grefcoco`` with every number of targets below ``root``."""
    folder = _write_instances(root, 'grefcoco')
    refs = _make_refs(TINY_GREFS)
    for ref in refs:
        ref['no_target'] = ref['ann_id'] == [-1]
    (folder / 'grefs(unc).json').write_text(json.dumps(refs))
    return root


def write_tiny_joint(root):
    """Write RefCOCO, RefCOCO+ and RefCOCOg that hold out unlike images.

    RefCOCO trains on images 1 and 2 and holds out none, RefCOCO+ trains on
    image 2 and holds out none, RefCOCOg trains on both and holds out image 1.
    """
    rows = {
        ('refcoco', 'unc'): (
            (10, 100, 1, 'train', ['left box', 'box']),
            (11, 101, 1, 'train', ['right thing']),
            (12, 103, 2, 'train', ['square', 'bright square']),
        ),
        ('refcoco+', 'unc'): ((10, 102, 2, 'train', ['crowd']),),
        ('refcocog', 'umd'): (
            (10, 102, 2, 'train', ['a crowd of people']),
            (11, 100, 1, 'train', ['a big box']),
            (12, 101, 1, 'test', ['two pieces']),
        ),
    }
    for (dataset, split_by), refs in rows.items():
        write_tiny_refer(root, dataset=dataset, split_by=split_by, refs=refs)
    return root


@pytest.fixture
def tiny_refer(tmp_path):
    """Root of a small data set with every kind of segmentation."""
    return write_tiny_refer(tmp_path / 'tiny')


@pytest.fixture
def tiny_grefer(tmp_path):
    """Root of a small gRefCOCO."""
    return write_tiny_grefer(tmp_path / 'tiny')


@pytest.fixture
def tiny_joint(tmp_path):
    """Root of three small data sets that share images."""
    return write_tiny_joint(tmp_path / 'tiny')


@pytest.fixture(scope='session')
def tiny_data(tmp_path_factory):
    """Root of a small data set of every kind that a config may name."""
    root = tmp_path_factory.mktemp('data')
    # A test split of its own image, so that joint training keeps items.
    splits = ('train', 'val')
    refs = [ref for ref in TINY_REFS if ref[2] == 1 and ref[3] in splits]
    refs = [(*ref[:3], 'train', ref[4]) for ref in refs]
    held_out = [(14, 103, 2, split, ['square']) for split in ('val', 'test')]
    for dataset, split_by in (
        ('refcoco', 'unc'),
        ('refcoco+', 'unc'),
        ('refcocog', 'umd'),
        ('refcocog', 'google'),
    ):
        write_tiny_refer(
            root, dataset=dataset, split_by=split_by, refs=[*refs, *held_out]
        )
    write_tiny_refer(root, dataset='refclef', refs=[*refs, *held_out])
    row = dict(
        image='images/train2014/COCO_train2014_000000000001.jpg',
        expression='left box',
        mask=[_rectangle(2, 3, 22, 33)],
    )
    for split in splits:
        (root / f'{split}.jsonl').write_text(json.dumps(row) + '\n')
    (root / 'images' / 'saiapr_tc-12').symlink_to('train2014')
    return write_tiny_grefer(root)


@pytest.fixture(scope='session')
def vocab_file(tmp_path_factory):
    """A WordPiece vocabulary of a few words."""
    path = tmp_path_factory.mktemp('vocab') / 'vocab.txt'
    special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    path.write_text('\n'.join([*special, *WORDS.split()]) + '\n')
    return str(path)


@pytest.fixture(scope='session')
def bert_dir(tmp_path_factory, vocab_file):
    """A BERT directory as ``transformers`` writes it, random weights."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp('bert')
    tokenizer = BertTokenizerFast(vocab_file)
    torch.manual_seed(7)
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **TINY_BERT))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture(scope='session')
def small_encoder(tmp_path_factory):
    """Give the directory of a text encoder, by the name of its family."""
    from small_encoders import write_encoder

    root = tmp_path_factory.mktemp('encoders')
    return cache(lambda family: write_encoder(family, root / family))


@pytest.fixture
def tiny_segmentor(vocab_file):
    """Config of a segmentor of a few thousand parameters, 32 px images."""
    return make_tiny_segmentor(vocab_file)


@pytest.fixture(scope='session')
def shared_segmentor(vocab_file):
    """The same, for what several tests share; to be left as it is."""
    return make_tiny_segmentor(vocab_file)


def make_tiny_segmentor(vocab_file):
    return dict(
        type='mmdit.ReferringSegmentor',
        data_preprocessor=dict(
            type='mmdit.ReferDataPreprocessor',
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            size=(32, 32),
        ),
        text_encoder=dict(
            type='mmdit.BertTextEncoder',
            config=dict(
                **TINY_BERT,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            vocab_file=vocab_file,
            max_tokens=8,
        ),
        backbone=dict(
            type='mmdit.SAMViT',
            arch=dict(embed_dims=16, depth=3, num_heads=2),
            patch_size=8,
            img_size=64,
            window_size=0,
            out_channels=32,
            text_injector=dict(type='mmdit.LayerwiseProjection'),
        ),
        decode_head=dict(
            type='mmdit.SAMMaskHead', embed_dims=32, num_heads=2, mlp_dims=32
        ),
    )


@pytest.fixture
def picture(tmp_path):
    """The path of a picture of 40 x 60 pixels (height x width)."""
    path = tmp_path / 'picture.png'
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels.repeat(8, 0).repeat(10, 1))
    return str(path)
