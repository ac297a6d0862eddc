"""What a broken or missing neighbor costs, and whose names are found."""

import os
import subprocess
import sys

import pytest
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope

from mmdit.models.injectors import LayerwiseProjection
from mmdit.registry import MODELS, build_part

BUILD = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules['transformers'] = None  # as if it were absent
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader
import mmdit.checkpoints, mmdit.engine.loading
loader = CheckpointLoader._schemes['']
assert loader.__module__.startswith('mmengine'), loader
model = MODELS.build(dict(
    type='mmdit.SAMViT',
    arch=dict(embed_dims=8, depth=1, num_heads=1),
    patch_size=8,
    text_injector=dict(type='LayerwiseProjection'),
))
import torch
out, = model(torch.zeros(1, 3, 16, 16), torch.zeros(1, 4, 768))
assert out.shape == (1, 256, 2, 2)
assert MODELS.get('mmdit.BertTextEncoder') is not None
found = {name.split('.')[0] for name in sys.modules}
others = {'mmcv', 'mmseg', 'mmdet', 'mmpretrain', 'segment_anything'}
assert not found & others, found
print('the segmentor')
for _ in range(2):
    assert MODELS.get('mmdit.ReferringSegmentor') is None
"""


def test_a_broken_mmsegmentation_costs_the_segmentor_and_one_warning(
    tmp_path,
):
    """Nor is it imported before; and imports do not change how files load.

    The encoder needs neither it nor the packages of head and text encoder.
    """
    path = tmp_path / 'mmseg' / '__init__.py'
    path.parent.mkdir()
    path.write_text('raise ModuleNotFoundError("No module named mmcv._ext")')
    said = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', BUILD, tmp_path],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | dict(PYTHONUNBUFFERED='1'),
        text=True,
    ).stdout
    before, after = said.split('the segmentor')
    assert 'mmseg' not in before
    assert after.count('mmdit.models.segmentors cannot be imported') == 1
    assert f'No module named mmcv._ext ({path})' in after


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
