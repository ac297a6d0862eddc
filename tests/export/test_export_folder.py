"""What is rejected, and what is written."""

import json
from pathlib import Path

import pytest
from exported_models import RESIZE, build_model, make_config

from mmdit.export import folder
from mmdit.export.folder import export_model, make_settings
from mmdit.runtime.settings import load_settings


@pytest.mark.parametrize(
    'steps',
    [
        ('ReferFlip',),
        (RESIZE, RESIZE),
        (dict(RESIZE, interpolation='nearest'),),
        (dict(RESIZE, backend='pillow'),),
        (dict(type='Resize', scale_factor=0.5),),
    ],
)
def test_pipelines_that_no_runner_knows_are_rejected(tiny_segmentor, steps):
    model = build_model(tiny_segmentor)
    with pytest.raises(ValueError, match='the test pipeline has'):
        make_settings(model, make_config(tiny_segmentor, *steps))


def test_settings_come_back(tiny_segmentor, tmp_path):
    config = make_config(tiny_segmentor, RESIZE)
    settings = make_settings(build_model(tiny_segmentor), config)
    settings.save(tmp_path)
    again = load_settings(tmp_path)
    assert tuple(again.size) == (32, 32) and tuple(again.resize) == (32, 32)
    assert again.keep_ratio and again.max_tokens == 8
    assert again.mean == pytest.approx([123.675, 116.28, 103.53])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(size=[32, 1 << 20]),
            r'has size \[32, 1048576\], expected 1 ',
        ),
        (dict(resize=[0, 0]), r'has resize \[0, 0\], expected 1 to'),
        (dict(std=[1.0, 0.0, 2.0]), 'has std'),
        (dict(max_tokens=0), 'has max_tokens 0, expected 1 to'),
        (dict(size=[32, True]), r'has size \[32, True\], expected tuple'),
        (dict(mean=[1.0, float('nan'), 2.0]), 'has mean .*, expected list'),
        (dict(std=[1.0, 2.0]), 'has std'),
        (dict(max_tokens=-1), 'has max_tokens -1, expected int'),
        (dict(threshold='half'), "has threshold 'half', expected float"),
        (dict(trained_on=['x']), r"has trained_on \['x'\], expected str"),
        ({'x' * 9000: 1}, 'written by another version'),
    ],
)
def test_odd_settings_are_told(tiny_segmentor, tmp_path, change, message):
    config = make_config(tiny_segmentor, RESIZE)
    make_settings(build_model(tiny_segmentor), config).save(tmp_path)
    path = tmp_path / 'settings.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=f'{path} .*{message}') as error:
        load_settings(tmp_path)
    assert len(str(error.value)) < 1000
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f'{path} is not complete JSON'):
        load_settings(tmp_path)


def test_both_formats_and_int8_are_written_and_compared(exported):
    lines = (exported / 'printed.txt').read_text().splitlines()
    written = [line.partition(': ') for line in lines if ' MB' in line]
    said = {Path(path).name: line for path, _, line in written}
    suffixes = ('.onnx', '.int8.onnx', '.pt2')
    assert set(said) == {
        f'{name}{suffix}' for name in ('text', 'mask') for suffix in suffixes
    }
    for name, line in said.items():
        assert ('opset 18' in line) == name.endswith('.onnx'), line
        assert ('probabilities ' in line) == name.startswith('mask'), line
    files = {path.name for path in exported.iterdir()}
    assert files >= {*said, 'settings.json', 'tokenizer.json'}


def test_mistakes_are_explained(tiny_segmentor, tmp_path):
    config = make_config(tiny_segmentor, RESIZE)
    model = build_model(tiny_segmentor)
    with pytest.raises(ValueError, match='known: onnx, torch, both'):
        export_model(model, config, tmp_path, 'coreml')
    with pytest.raises(ValueError, match="int8 weights .* got .* 'torch'"):
        export_model(model, config, tmp_path, 'torch', int8=True)
    for opset in (17, 99):
        with pytest.raises(ValueError, match=f'opset {opset} .*expected 18'):
            export_model(model, config, tmp_path, opset=opset)


@pytest.mark.parametrize(
    'earlier', ['trunk.onnx', 'trunk.int8.onnx', 'mask.onnx.data', 'text.pt2']
)
def test_nothing_of_an_earlier_export_is_run(
    tiny_segmentor, tmp_path, monkeypatch, earlier
):
    def fail(*_):
        raise KeyboardInterrupt

    for name in (earlier, 'settings.json', 'notes.onnx'):
        (tmp_path / name).write_text('of another model')
    config = make_config(tiny_segmentor, RESIZE)
    model = build_model(tiny_segmentor)
    with pytest.raises(ValueError):  # before anything is removed
        export_model(model, config, tmp_path, opset=11)
    assert (tmp_path / earlier).exists()
    monkeypatch.setattr(folder, 'trace', fail)
    with pytest.raises(KeyboardInterrupt):
        export_model(model, config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['notes.onnx']
