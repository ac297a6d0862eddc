import json

import pytest
import torch
from mmengine.runner import load_state_dict
from safetensors.torch import save_file
from small_checkpoints import make_sam, to_transformers
from transformers import SamConfig, SamModel

from mmdit.checkpoints.files import read_state_dict
from mmdit.checkpoints.sources import from_mmdit, to_mmdit
from mmdit.registry import MODELS

POSITIONS = 'shared_image_embedding.positional_embedding'
AGAIN = 'prompt_encoder.shared_embedding.positional_embedding'


def start_from(config, checkpoint, **options):
    init_cfg = dict(
        type='mmdit.SAMPretrained', checkpoint=str(checkpoint), **options
    )
    model = MODELS.build({**config, 'init_cfg': init_cfg})
    model.init_weights()
    return model.eval()


def save(model, folder, kind):
    """Write a model as hubs offer it; return what a user would name."""
    if kind == 'directory':
        model.save_pretrained(folder)
    elif kind == 'shards':
        model.save_pretrained(folder, max_shard_size='40KB')
        assert len(list(folder.glob('*.safetensors'))) > 2
    elif kind == 'file':
        model.save_pretrained(folder)
        return folder / 'model.safetensors'
    else:
        folder.mkdir()
        torch.save(model.state_dict(), folder / 'pytorch_model.bin')
        return folder if kind == 'bin directory' else next(folder.iterdir())
    return folder


@pytest.mark.parametrize(
    'kind', ['directory', 'shards', 'file', 'bin', 'bin directory']
)
def test_every_form_gives_transformers_features(
    textless, hf_sam, tmp_path, kind
):
    model = start_from(textless, save(hf_sam, tmp_path / 'hf', kind))
    image = torch.randn(1, 3, 256, 256).double()
    with torch.no_grad():
        ours = model.double().backbone(image)[0]
        theirs = hf_sam.double().vision_encoder(image).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_shards_of_bin_files_load(hf_sam, tmp_path):
    state_dict = hf_sam.state_dict()
    names = ['pytorch_model-1.bin', 'pytorch_model-2.bin']
    shards = [{}, {}]
    for i, (key, value) in enumerate(state_dict.items()):
        shards[i % 2][key] = value
    weight_map = {}
    for name, shard in zip(names, shards, strict=True):
        torch.save(shard, tmp_path / name)
        weight_map |= dict.fromkeys(shard, name)
    index = tmp_path / 'pytorch_model.bin.index.json'
    index.write_text(json.dumps(dict(weight_map=weight_map)))
    read = read_state_dict(str(tmp_path))
    assert read.keys() == state_dict.keys()
    torch.save(dict(other=torch.ones(1)), tmp_path / names[1])
    with pytest.raises(ValueError, match=next(iter(shards[1]))):
        read_state_dict(str(tmp_path))
    (tmp_path / names[0]).unlink()
    with pytest.raises(FileNotFoundError, match=names[0]):
        read_state_dict(str(tmp_path))


def test_an_index_cannot_name_files_elsewhere(tmp_path):
    torch.save({'a': torch.zeros(1)}, tmp_path / 'outside.bin')
    folder = tmp_path / 'hf'
    folder.mkdir()
    index = folder / 'pytorch_model.bin.index.json'
    index.write_text(json.dumps(dict(weight_map=dict(a='../outside.bin'))))
    with pytest.raises(FileNotFoundError, match=r'\.\./outside'):
        read_state_dict(str(folder))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{"weight_map": {"a"', 'is not complete JSON'),
        ('[' * 5000, 'is not complete JSON'),
        ('[]', "holds no 'weight_map' of names"),
        ('{"weight_map": {"a": 1}}', "holds no 'weight_map' of names"),
    ],
)
def test_odd_indices_are_told(tmp_path, content, message):
    index = tmp_path / 'model.safetensors.index.json'
    index.write_text(content)
    with pytest.raises(ValueError, match=f'{index} {message}'):
        read_state_dict(str(tmp_path))


def test_shards_hold_tensors_of_names_that_can_be_shown(tmp_path):
    index = tmp_path / 'pytorch_model.bin.index.json'
    index.write_text(json.dumps(dict(weight_map=dict(a='1.bin'))))
    for content, message in (
        ([torch.zeros(1)], 'holds list where tensors'),
        ({'a' * 9000: torch.zeros(1)}, 'has a name of 9,000 characters'),
        ({'a': 'b' * 9000}, "holds str at 'a', expected a tensor"),
    ):
        torch.save(content, tmp_path / '1.bin')
        with pytest.raises(ValueError, match=rf'1\.bin {message}') as error:
            read_state_dict(str(tmp_path))
        assert len(str(error.value)) < 1000


def test_both_projects_sam_is_the_same_model(ldit, sam, tmp_path):
    torch.save(sam.state_dict(), tmp_path / 'meta.pth')
    theirs = to_transformers(sam.state_dict())
    save_file(theirs, tmp_path / 'hf.safetensors')
    one = start_from(ldit, tmp_path / 'meta.pth')
    two = start_from(ldit, tmp_path / 'hf.safetensors')
    added = {k: v for k, v in one.state_dict().items() if 'text' in k}
    two.load_state_dict({**two.state_dict(), **added})
    text = torch.randn(1, 20, 8)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        logits = [
            model.decode_head(model.backbone(image, text), text)
            for model in (one, two)
        ]
    torch.testing.assert_close(*logits, rtol=1e-5, atol=1e-5)


def test_masks_of_transformers_and_of_segment_anything_agree(hf_sam):
    """Every part, by way of mmdit's names, against two implementations."""
    renamed = to_mmdit(hf_sam.state_dict())[1]
    sam = make_sam()
    sam.load_state_dict(from_mmdit(renamed.state_dict, 'sam').state_dict)
    image = torch.randn(1, 3, 256, 256)
    points = torch.tensor([[[40.0, 90.0], [200.0, 30.0]]])
    labels = torch.tensor([[1, 0]])
    with torch.no_grad():
        expected = hf_sam(
            pixel_values=image,
            input_points=points[None],
            input_labels=labels[None],
        )
        sparse, dense = sam.prompt_encoder((points, labels), None, None)
        masks, scores = sam.mask_decoder(
            sam.image_encoder(image),
            sam.prompt_encoder.get_dense_pe(),
            sparse,
            dense,
            multimask_output=True,
        )
    close = dict(rtol=1e-4, atol=5e-5)  # of single precision
    torch.testing.assert_close(masks, expected.pred_masks[:, 0], **close)
    torch.testing.assert_close(scores, expected.iou_scores[:, 0], **close)


def test_mask_prompts_agree_too(hf_sam):
    renamed = to_mmdit(hf_sam.state_dict())[1]
    sam = make_sam()
    sam.load_state_dict(from_mmdit(renamed.state_dict, 'sam').state_dict)
    mask = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = hf_sam.prompt_encoder.mask_embed(mask)
        ours = sam.prompt_encoder.mask_downscaling(mask)
    torch.testing.assert_close(ours, expected)


def published():
    """Name the keys of SAM ViT-B, with sizes but without memory."""
    with torch.device('meta'):
        model = SamModel(SamConfig())
    return {
        key: torch.zeros(1).expand(value.shape)
        for key, value in model.state_dict().items()
    }


def test_keys_and_shapes_of_vit_b_match():
    source, renamed = to_mmdit(published())
    assert source == 'hf-sam'
    assert renamed.dropped == {(AGAIN, f'equal to {POSITIONS}'): 1}
    with torch.device('meta'):
        backbone = MODELS.build(dict(type='mmdit.SAMViT')).state_dict()
        head = MODELS.build(dict(type='mmdit.SAMMaskHead')).state_dict()
    ours = {f'backbone.{k}': v for k, v in backbone.items()}
    ours |= {f'decode_head.{k}': v for k, v in head.items()}
    assert {k: v.shape for k, v in renamed.state_dict.items()} == {
        k: v.shape
        for k, v in ours.items()
        if not k.startswith('decode_head.text_proj.')
    }


def test_the_way_there_and_back_is_exact(hf_sam, textless, random_model):
    theirs = hf_sam.state_dict()
    back = from_mmdit(to_mmdit(theirs)[1].state_dict, 'hf-sam').state_dict
    assert back.keys() == theirs.keys()
    assert all(torch.equal(back[key], theirs[key]) for key in theirs)
    ours = random_model(textless).state_dict()
    there = from_mmdit(ours, 'hf-sam')
    again = to_mmdit(there.state_dict)[1].state_dict
    assert again.keys() == ours.keys() and not there.dropped
    assert all(torch.equal(again[key], ours[key]) for key in ours)


@pytest.mark.parametrize('kept', [POSITIONS, AGAIN])
def test_one_of_the_tied_names_is_enough(hf_sam, kept):
    theirs = hf_sam.state_dict()
    expected = theirs.pop(AGAIN)
    del theirs[POSITIONS]
    renamed = to_mmdit({**theirs, kept: expected})[1]
    assert not renamed.dropped
    (key,) = [key for key in renamed.state_dict if 'gaussian' in key]
    assert torch.equal(renamed.state_dict[key], expected)


def test_tied_values_that_differ_are_rejected(hf_sam):
    theirs = hf_sam.state_dict()
    theirs[AGAIN] = theirs[AGAIN] + 1
    with pytest.raises(ValueError, match='shared_embedding.*differ'):
        to_mmdit(theirs)


def test_missing_and_unknown_keys_fail_by_name(textless, hf_sam, tmp_path):
    theirs = hf_sam.state_dict()
    del theirs['vision_encoder.neck.conv2.weight']
    torch.save(theirs, tmp_path / 'short.bin')
    with pytest.raises(ValueError, match=r'missing: backbone\.neck\.2\.w'):
        start_from(textless, tmp_path / 'short.bin')
    theirs['vision_encoder.memory.weight'] = torch.zeros(1)
    torch.save(theirs, tmp_path / 'more.bin')
    with pytest.raises(KeyError, match=r'vision_encoder\.memory'):
        start_from(textless, tmp_path / 'more.bin')


def test_a_directory_without_weights_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'model\.safetensors'):
        read_state_dict(str(tmp_path))


def test_load_from_takes_these_names(textless, hf_sam, random_model):
    model = random_model(textless)
    load_state_dict(model, hf_sam.state_dict())
    expected = hf_sam.vision_encoder.pos_embed
    assert torch.equal(model.backbone.pos_embed, expected)
