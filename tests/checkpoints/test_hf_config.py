import pytest
import torch
from transformers import SamConfig, SamModel

from mmdit.checkpoints.hf_config import make_hf_config


@pytest.mark.parametrize(
    ('width', 'heads', 'blocks'),
    [
        (768, 12, [2, 5, 8, 11]),
        (1024, 16, [5, 11, 17, 23]),
        (1280, 16, [7, 15, 23, 31]),
    ],
)
def test_configs_of_the_published_sizes_come_from_their_shapes(
    width, heads, blocks
):
    expected = SamConfig(
        vision_config=dict(
            hidden_size=width,
            num_hidden_layers=blocks[-1] + 1,
            num_attention_heads=heads,
            global_attn_indexes=blocks,
            mlp_dim=4 * width,
        )
    )
    with torch.device('meta'):
        shapes = SamModel(expected).state_dict()
    found = make_hf_config(shapes).to_dict()
    for part in ('vision', 'prompt_encoder', 'mask_decoder'):
        wanted = expected.to_dict()[f'{part}_config']
        got = found[f'{part}_config']
        wanted.pop('scale', None), got.pop('scale', None)
        assert got == wanted


def test_a_decoder_of_another_width_needs_a_config(hf_sam, tmp_path):
    theirs = hf_sam.state_dict()
    with pytest.raises(ValueError, match='width 32 .*--hf-config'):
        make_hf_config(theirs)
    hf_sam.config.save_pretrained(tmp_path)
    config = make_hf_config(theirs, str(tmp_path))
    assert config.mask_decoder_config.num_attention_heads == 2
    SamConfig().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match='another size.*pos_embed'):
        make_hf_config(theirs, str(tmp_path / 'config.json'))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        make_hf_config(theirs, '/nowhere')


def test_weights_that_are_no_whole_sam_are_named(hf_sam):
    theirs = hf_sam.state_dict()
    del theirs['mask_decoder.iou_token.weight']
    with pytest.raises(KeyError, match='iou_token.weight is missing'):
        make_hf_config(theirs)
