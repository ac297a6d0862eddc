"""What a broken or missing neighbour costs, and whose names are found."""

import subprocess
import sys

import pytest
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from mmdit.models.injectors import LayerwiseProjection
from mmdit.registry import MODELS, build_part

BUILD = """
import sys
from mmengine.registry import MODELS
model = MODELS.build(dict(
    type='mmdit.SAMViT',
    arch=dict(embed_dims=8, depth=1, num_heads=1),
    text_injector=dict(type='LayerwiseProjection'),
))
assert MODELS.get('mmdit.BertTextEncoder') is not None
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        check=True,
        capture_output=True,
        text=True,
        env=environment or None,
    )


def test_nothing_of_mmcv_or_mmseg_stands_behind_the_encoders():
    run(
        BUILD + "found = {name.split('.')[0] for name in sys.modules}\n"
        "assert not found & {'mmcv', 'mmseg', 'mmdet', 'mmpretrain'}, found"
    )


def test_a_broken_mmsegmentation_costs_the_segmentor_and_one_warning(
    tmp_path,
):
    (tmp_path / 'mmseg').mkdir()
    (tmp_path / 'mmseg' / '__init__.py').write_text(
        'raise ModuleNotFoundError("No module named \'mmcv._ext\'")'
    )
    code = f'import sys; sys.path.insert(0, {str(tmp_path)!r})' + BUILD
    assert 'mmseg' not in run(code).stderr
    asked = run(
        code + 'for _ in range(2):\n'
        "    assert MODELS.get('mmdit.ReferringSegmentor') is None"
    )
    said = asked.stdout + asked.stderr
    assert said.count('mmdit.models.segmentors cannot be imported') == 1
    path = tmp_path / 'mmseg' / '__init__.py'
    assert f"No module named 'mmcv._ext' ({path})" in said


@pytest.mark.parametrize('scope', ['mmdit', 'mmseg', 'mmengine'])
def test_names_without_prefix_are_mmdits_in_any_scope(scope, tiny_segmentor):
    tiny_segmentor['backbone']['text_injector'] = dict(
        type='LayerwiseProjection'
    )
    for part in ('backbone', 'text_encoder', 'decode_head'):
        kind = tiny_segmentor[part]['type']
        tiny_segmentor[part]['type'] = kind.removeprefix('mmdit.')
    with DefaultScope.overwrite_default_scope(scope):
        model = ROOT.build(tiny_segmentor)
    assert type(model.backbone.text_injector) is LayerwiseProjection


def test_names_of_the_scope_are_found_where_mmdit_has_none():
    from mmseg.registry import MODELS as THEIRS

    class Whisper(LayerwiseProjection):
        """An injector of another project."""

    THEIRS.register_module(module=Whisper)
    encoder = dict(
        type='mmdit.SAMViT',
        arch=dict(embed_dims=8, depth=1, num_heads=1),
        text_injector=dict(type='Whisper'),
    )
    try:
        with DefaultScope.overwrite_default_scope('mmseg'):
            assert type(build_part(encoder).text_injector) is Whisper
        assert MODELS.get('Whisper') is None
    finally:
        THEIRS.module_dict.pop('Whisper')
