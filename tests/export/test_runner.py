"""The runner beside the inferencer, and without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdit.runtime.onnx import OnnxSegmenter

ROOT = Path(__file__).parents[2]
EXPRESSIONS = ['red circle', ' The BIG blue square', 'right of unknown']


@pytest.fixture(scope='module')
def segmenter(exported):
    return OnnxSegmenter(exported, threads=1)


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    """A picture of 40 x 60 pixels that people see as 60 x 40."""
    path = tmp_path_factory.mktemp('pictures') / 'picture.png'
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels.repeat(8, 0).repeat(10, 1)).save(path, exif=exif)
    return str(path)


@pytest.mark.parametrize('batch_size', [None, 1, 3])
def test_answers_are_those_of_the_inferencer(
    segmenter, inferencer, picture, batch_size
):
    images = [picture, np.full((7, 33), 90, np.uint8)]
    given = dict(threshold=0.4, return_probabilities=True)
    rows = segmenter(images, EXPRESSIONS, batch_size, **given)['predictions']
    expected = inferencer(images, EXPRESSIONS, **given)['predictions']
    assert len(rows) == 6
    for row, other in zip(rows, expected, strict=True):
        assert row['image'] == other['image']
        assert row['expression'] == other['expression']
        np.testing.assert_allclose(
            row['probabilities'], other['probabilities'], rtol=0, atol=1e-4
        )
        # A pixel within rounding of the threshold may go either way.
        sure = np.abs(other['probabilities'] - 0.4) > 1e-4
        assert np.array_equal(row['mask'][sure], other['mask'][sure])
        if sure.all():
            assert row['box'] == other['box'] and row['rle'] == other['rle']
            assert row['score'] == pytest.approx(other['score'], abs=1e-4)
    spread = np.ptp([row['probabilities'] for row in expected[:3]], axis=0)
    assert spread.max() > 0.01, 'the words must matter'


def test_int8_predicts_nearly_the_same(segmenter, exported, picture):
    int8 = OnnxSegmenter(exported, threads=1, int8=True)
    found, expected = (
        model.probabilities(picture, EXPRESSIONS)
        for model in (int8, segmenter)
    )
    difference = np.abs(found - expected)
    assert 0 < difference.mean() < 0.02
    assert np.mean((found > 0.5) == (expected > 0.5)) > 0.95
    assert int8.fingerprint() != segmenter.fingerprint()
    for name in ('text', 'mask'):
        size, whole = (
            (exported / f'{name}{suffix}').stat().st_size
            for suffix in ('.int8.onnx', '.onnx')
        )
        assert size < whole


def test_tokens_are_those_of_the_model(segmenter, inferencer):
    long = 'the small red circle on the right of the big blue square'
    with pytest.warns(UserWarning, match='is cut to 8'):
        ids, real = segmenter.tokenize([*EXPRESSIONS, long])
    encoder = inferencer.model.text_encoder
    own = [e.strip().lower() for e in (*EXPRESSIONS, long)]
    expected_ids, expected_real = encoder.tokenize(own)
    assert ids.tolist() == expected_ids.tolist()
    assert real.astype(bool).tolist() == expected_real.tolist()


def test_probabilities_alone(segmenter, picture):
    found = segmenter.probabilities(picture, EXPRESSIONS)
    rows = segmenter(picture, EXPRESSIONS, return_probabilities=True)
    assert found.shape == (3, 60, 40) and found.dtype == np.float32
    for one, row in zip(found, rows['predictions'], strict=True):
        assert np.array_equal(one, row['probabilities'])


def test_what_fails_costs_its_image(segmenter, picture, tmp_path):
    images = [picture, str(tmp_path / 'gone.png'), np.zeros((1, 5000), 'u1')]
    rows = list(segmenter.iterate([*images, picture], ['red circle', 'blue']))
    found = [str(row.get('error', row['image'])) for row in rows]
    assert found[:2] == found[4:] == [picture, picture]
    assert 'gone.png does not exist' in found[2]
    assert 'too thin' in found[3]
    with pytest.raises(FileNotFoundError, match='gone'):
        segmenter(images, 'red circle')


def test_a_fingerprint_follows_the_files(segmenter, exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / 'copy')
    assert OnnxSegmenter(copy).fingerprint() == segmenter.fingerprint()
    settings = json.loads((copy / 'settings.json').read_text())
    (copy / 'settings.json').write_text(json.dumps(settings))
    assert OnnxSegmenter(copy).fingerprint() != segmenter.fingerprint()


def test_the_folder_of_a_model_has_the_graphs_beside_it(exported, tmp_path):
    shutil.copytree(exported, tmp_path / 'onnx')
    assert OnnxSegmenter(tmp_path).folder == tmp_path / 'onnx'


BLOCKED = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmseg', 'transformers')
CODE = f"""
import sys
sys.modules.update(dict.fromkeys({BLOCKED}))
from mmdit.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_command_runs_without_torch(
    exported, inferencer, picture, tmp_path
):
    command = ['segment', picture, 'red circle', '--onnx', str(exported)]
    done = subprocess.run(
        [sys.executable, '-c', CODE, *command, '--out-dir', 'out'],
        cwd=tmp_path,
        env=dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f'{picture}: red circle: ' in done.stdout
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())
    (expected,) = inferencer(picture, 'red circle')['predictions']
    mask = cv2.imread(str(tmp_path / 'out' / row['mask']), -1)
    assert np.mean((mask > 0) != expected['mask']) < 1e-3
    overlay = cv2.imread(str(tmp_path / 'out' / row['overlay']))
    assert overlay.std() > 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--weights=w.pth'], '--weights has no effect'),
        (['--model=m.py'], '--model has no effect'),
        (['--device=cuda'], '--device has no effect'),
    ],
)
def test_options_of_the_other_model_are_rejected(
    exported, picture, capsys, options, message
):
    from mmdit.cli.segment import main

    assert main([picture, 'red', '--onnx', str(exported), *options]) == 1
    assert message in capsys.readouterr().err


def test_mistakes_are_explained(segmenter, exported, picture, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'settings\.json'):
        OnnxSegmenter(tmp_path)
    settings = json.loads((exported / 'settings.json').read_text())
    path = tmp_path / 'settings.json'
    path.write_text(json.dumps(settings | dict(color='red')))
    with pytest.raises(ValueError, match='another version.*color'):
        OnnxSegmenter(tmp_path)
    path.write_text(json.dumps(settings | dict(int8=False)))
    with pytest.raises(ValueError, match='no int8 weights; .* --int8'):
        OnnxSegmenter(tmp_path, int8=True)
    path.write_text(json.dumps(settings))
    (tmp_path / 'tokenizer.json').write_bytes(
        (exported / 'tokenizer.json').read_bytes()
    )
    with pytest.raises(FileNotFoundError, match='text.onnx does not exist'):
        OnnxSegmenter(tmp_path)
    for name, content, message in (
        ('text', b'<html>', 'cannot be used: .*failed'),
        ('text', 'text', None),
        ('mask', 'text', r"takes \{'input_ids'.* expected \{.*'pixel_values'"),
        ('mask', 'mask', None),
    ):
        if isinstance(content, str):
            content = (exported / f'{content}.onnx').read_bytes()
        graph = tmp_path / f'{name}.onnx'
        graph.write_bytes(content)
        if message:
            with pytest.raises(ValueError, match=f'{graph} {message}'):
                OnnxSegmenter(tmp_path)
    odd = OnnxSegmenter(tmp_path, threads=1)
    odd.settings.pad_id = 9999
    with pytest.raises(ValueError, match='text.onnx cannot be used: .*9999'):
        odd(picture, 'red')
    path.write_text(json.dumps(settings | dict(size=[64, 64])))
    with pytest.raises(ValueError, match=r'mask.onnx takes .*\(3, 64, 64\)'):
        OnnxSegmenter(tmp_path)
    (tmp_path / 'tokenizer.json').write_text('{')
    with pytest.raises(ValueError, match='tokenizer.json cannot be used: EOF'):
        OnnxSegmenter(tmp_path)
    with pytest.raises(ValueError, match='neither an expression nor points'):
        segmenter(picture, [None, 'red'])
    with pytest.raises(ValueError, match='expressions only, got 1 point;'):
        segmenter(picture, 'red', point_coords=[[1, 1]], point_labels=[1])
    with pytest.raises(TypeError, match="not know 'return_logits'"):
        segmenter(picture, 'red', return_logits=True)
    with pytest.raises(ValueError, match='batch_size'):
        segmenter(picture, 'red', 0)
    with pytest.raises(ValueError, match='threshold'):
        segmenter(picture, 'red', threshold=2)
