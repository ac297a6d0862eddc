"""``mmdit browse-data``."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from PIL import Image

from mmdit.cli import browse_data
from mmdit.datasets.synthref import write_synthref

CONFIG = 'ldit_tiny_synthref-64x64'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('browse')
    write_synthref(folder / 'data/synthref', train=6, val=4)
    return folder


@pytest.fixture
def browse(folder, mmdit, monkeypatch):
    monkeypatch.chdir(folder)

    def browse(*args):
        result = mmdit('browse-data', *args)
        return result.stdout or result.stderr

    return browse


def read(folder, name):
    return {
        p.name: np.asarray(Image.open(p)) for p in (folder / name).iterdir()
    }


def test_pictures_and_a_sheet_are_written(folder, browse):
    printed = browse(CONFIG, '--number', 5, '--out-dir', 'first')
    assert 'first/sheet.png' in printed
    pictures = read(folder, 'first')
    assert len(pictures) == 6
    sheet = pictures.pop('sheet.png')
    assert sheet.shape[1] == 1599 and sheet.std() > 10
    for picture in pictures.values():
        assert picture.shape[1] == 2 * 256 + 3 * 8


def test_the_seed_repeats_choice_and_transforms(folder, browse):
    for name, seed in (('a', 3), ('b', 3), ('c', 4)):
        browse(CONFIG, '--number', 4, '--seed', seed, '--out-dir', name)
    a, b, c = (read(folder, name) for name in 'abc')
    assert a.keys() == b.keys() and all((a[k] == b[k]).all() for k in a)
    assert a.keys() != c.keys()


def test_all_items_where_there_are_fewer(folder, browse):
    printed = browse(
        CONFIG, '--mode', 'val', '--number', 999, '--out-dir', 'val'
    )
    number = int(printed.split(' items: ')[0].split()[-1])
    assert len(read(folder, 'val')) == number + 1 > 8
    assert f'{number} of {number} items' in printed


def test_prompts_are_drawn():
    image = np.zeros((100, 200, 3), np.uint8)
    points = torch.tensor([[20, 30], [60, 70], [120, 10], [180, 90], [1, 1]])
    labels = torch.tensor([1, 0, 2, 3, -1])
    prompts = InstanceData(points=points.float(), labels=labels)
    browse_data.draw_prompts(image, prompts)
    assert tuple(image[30, 20]) == tuple(image[90, 150]) == browse_data.GREEN
    assert tuple(image[70, 60]) == browse_data.RED
    # padding is not drawn, a box is an outline
    assert not image[1, 1].any() and not image[50, 150].any()


def test_items_without_words_are_drawn(folder, browse):
    text = 'text-prompts_sam-tiny_synthref-64x64'
    browse(text, '--number', 8, '--out-dir', 'prompts')
    assert len(read(folder, 'prompts')) == 9


def test_mistakes_are_named(browse):
    said = browse('ldit_tiny_synthref-64x65')
    assert 'did you mean ldit_tiny_synthref' in said
    no_data = 'train_dataloader.dataset.data_root=x'
    assert browse(CONFIG, '--cfg-options', no_data).startswith('error: ')
    assert '--number must be 1 or more, got 0' in browse(CONFIG, '--number', 0)
