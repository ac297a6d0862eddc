import inspect

import pytest

from mmdit.checkpoints.settings import KEY, recorded_settings
from mmdit.models.backbones import SAMViT
from mmdit.models.heads import SAMMaskHead

ARCH = dict(embed_dims=16, depth=2, num_heads=2)


def test_former_names_of_arguments_still_work():
    with pytest.warns(FutureWarning, match="called 'img_size' now"):
        model = SAMViT(dict(ARCH), patch_size=8, pretrain_size=32)
    assert model.pos_embed.shape[1] == 4
    with pytest.warns(FutureWarning, match='global_attn_indexes='):
        model = SAMViT(
            dict(ARCH, global_blocks=(1,)), patch_size=8, img_size=32
        )
    tables = [block.attn.rel_pos_h for block in model.blocks]
    assert [len(table) for table in tables] == [27, 7]
    with pytest.warns(FutureWarning, match="'multimask' of SAMMaskHead"):
        assert SAMMaskHead(None, multimask=True).multimask_output


def test_signatures_show_present_names_only():
    names = inspect.signature(SAMViT).parameters
    assert 'img_size' in names and 'pretrain_size' not in names


def test_records_of_weights_are_read_under_present_names():
    record = {
        'model.backbone.pretrain_size': 32,
        'model.backbone.arch': dict(ARCH, global_blocks=[1]),
    }
    assert recorded_settings(dict(meta={KEY: record})) == {
        'model.backbone.img_size': 32,
        'model.backbone.arch': dict(ARCH, global_attn_indexes=[1]),
    }
