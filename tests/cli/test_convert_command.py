"""The converter, as a user calls it."""

import hashlib
import json
from functools import partial

import pytest
import torch
from in_process import call_mmdit, call_tool
from safetensors.torch import load_file
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from small_released import save_released, small_released
from transformers import SamConfig, SamModel

from mmdit.checkpoints.files import read_checkpoint
from mmdit.registry import MODELS


@pytest.fixture
def convert(mmdit):
    """Call the command; return its output, or raise what it says."""

    def run(*args):
        result = mmdit('convert', *args)
        if result.returncode:
            raise RuntimeError(f'{result.returncode}: {result.stderr}')
        return result.stdout

    return run


def make_sam(width=256, layers=2):
    """Make a small encoder with a decoder of the published width."""
    torch.manual_seed(0)
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=256,
            embed_dim=16,
            depth=3,
            num_heads=2,
            out_chans=width,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(width, (16, 16), (256, 256), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(layers, width, 8, 48),
            iou_head_hidden_dim=width,
        ),
    ).eval()


@pytest.fixture
def sam():
    return make_sam()


@pytest.fixture
def src(tmp_path, sam):
    torch.save(sam.state_dict(), tmp_path / 'meta.pth')
    return tmp_path / 'meta.pth'


def assert_same(given, expected):
    assert given.keys() == expected.keys()
    for key in given:
        assert torch.equal(given[key], expected[key]), key


def test_a_file_is_converted_and_comes_back(convert, src, sam, tmp_path):
    ours, back = tmp_path / 'mmdit.pth', tmp_path / 'back.pth'
    convert(src, ours)
    printed = convert(ours, back, '--reverse')
    count = len(sam.state_dict())
    assert f"{back}: Meta's SAM, {count} tensors" in printed
    written = torch.load(ours, weights_only=True)
    assert written['meta'] == dict(
        converted_from='sam',
        settings=dict(trained_on='photographs of SA-1B, without text'),
    )
    assert 'backbone.pos_embed' in written['state_dict']
    # Bare, as segment_anything reads it.
    assert_same(torch.load(back, weights_only=True), sam.state_dict())
    assert not list(tmp_path.glob('.*'))


def test_the_authors_get_a_whole_file(convert, bert_dir, tmp_path):
    released = save_released(bert_dir, tmp_path / 'released.pth')
    convert(released, tmp_path / 'ours.pth')
    convert(tmp_path / 'ours.pth', tmp_path / 'back.pth', *to('dit'))
    given, back = (
        torch.load(tmp_path / name, weights_only=True)
        for name in ('released.pth', 'back.pth')
    )
    whole = {'epoch', 'state_dict', 'optimizer', 'scheduler', 'lr'}
    assert back.keys() - {'meta'} == whole
    bare = {
        key.removeprefix('module.'): value
        for key, value in given['state_dict'].items()
    }
    assert_same(back['state_dict'], bare)


def test_transformers_opens_the_directory(convert, src, sam, tmp_path):
    folder = tmp_path / 'hf'
    printed = convert(src, folder, '--reverse', '--target', 'hf-sam')
    assert "transformers' SamModel" in printed
    model, info = SamModel.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values())
    config = model.config.vision_config
    assert config.global_attn_indexes == [1] and config.window_size == 14
    assert json.loads((folder / 'config.json').read_text())['architectures']
    image = torch.randn(1, 3, 256, 256)
    with torch.no_grad():
        theirs = model.vision_encoder(image).last_hidden_state
        torch.testing.assert_close(
            theirs, sam.image_encoder(image), rtol=1e-4, atol=1e-4
        )
    convert(folder, tmp_path / 'again.pth')
    convert(tmp_path / 'again.pth', tmp_path / 'meta2.pth', *to('sam'))
    again = torch.load(tmp_path / 'meta2.pth', weights_only=True)
    assert_same(again, sam.state_dict())


def to(target):
    return '--reverse', '--target', target


def test_decoders_of_other_depths_make_directories(convert, tmp_path):
    sam = make_sam(layers=4)
    torch.save(sam.state_dict(), tmp_path / 'deep.pth')
    convert(tmp_path / 'deep.pth', tmp_path / 'hf', *to('hf-sam'))
    model = SamModel.from_pretrained(tmp_path / 'hf')
    assert model.config.mask_decoder_config.num_hidden_layers == 4


def test_other_widths_need_a_config(convert, tmp_path):
    torch.save(make_sam(width=32).state_dict(), tmp_path / 'narrow.pth')
    args = [tmp_path / 'narrow.pth', tmp_path / 'hf', *to('hf-sam')]
    with pytest.raises(RuntimeError, match='--hf-config'):
        convert(*args)
    assert not (tmp_path / 'hf').exists()
    sizes = dict(image_size=256, patch_size=16)
    SamConfig(
        vision_config=dict(
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            output_channels=32,
            num_pos_feats=16,
            global_attn_indexes=[1],
            **sizes,
        ),
        prompt_encoder_config=dict(hidden_size=32, **sizes),
        mask_decoder_config=dict(
            hidden_size=32, mlp_dim=48, iou_head_hidden_dim=32
        ),
    ).save_pretrained(tmp_path / 'configs')
    convert(*args, '--hf-config', tmp_path / 'configs')
    assert SamModel.from_pretrained(tmp_path / 'hf')


def test_safetensors_are_written_and_read(convert, src, sam, tmp_path):
    ours = tmp_path / 'ours.safetensors'
    convert(src, ours)
    assert 'decode_head.mask_decoder.iou_token.weight' in load_file(ours)
    convert(ours, tmp_path / 'hf.safetensors', *to('hf-sam'))
    convert(tmp_path / 'hf.safetensors', tmp_path / 'back.bin', *to('sam'))
    back = torch.load(tmp_path / 'back.bin', weights_only=True)
    assert_same(back, sam.state_dict())


def test_the_authors_files_lose_what_nothing_reads(convert, sam, tmp_path):
    theirs = {
        key.replace('image_encoder', 'visual_encoder'): value
        for key, value in sam.state_dict().items()
    }
    theirs |= {f'visual_encoder.probs.{i}.bias': torch.ones(1) for i in (0, 1)}
    theirs |= {'text_proj.bias': torch.ones(1)}
    words = 'lang_encoder.bert.embeddings.'
    theirs |= {f'{words}LayerNorm.gamma': torch.ones(1)}
    theirs |= {f'{words}word_embeddings.weight': torch.ones(2, 3)}
    unused = {'query_embeddings': torch.ones(1)}
    prefixed = {f'module.{k}': v for k, v in {**theirs, **unused}.items()}
    torch.save(dict(state_dict=prefixed), tmp_path / 'det.pth')
    printed = convert(tmp_path / 'det.pth', tmp_path / 'ours.pth')
    assert "the DIT authors' checkpoint" in printed
    assert 'dropped query_embeddings (1 tensor): never read' in printed
    convert(tmp_path / 'ours.pth', tmp_path / 'back.pth', '--reverse')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    theirs = {k.replace('gamma', 'weight'): v for k, v in theirs.items()}
    assert_same({key: back[key] for key in theirs}, theirs)
    # What their strict loading demands is there again.
    assert back['query_embeddings'].shape == (1, 4, 3)
    printed = convert(tmp_path / 'ours.pth', tmp_path / 'sam.pth', *to('sam'))
    for part in (
        'backbone.text_injector. (2 tensors): no text',
        'decode_head.text_proj. (1 tensor): no text',
        'text_encoder. (2 tensors): SAM has no text encoder',
    ):
        assert f'dropped {part}' in printed
    only_sam = torch.load(tmp_path / 'sam.pth', weights_only=True)
    assert_same(only_sam, sam.state_dict())


def test_nothing_is_overwritten_unasked(convert, src, tmp_path):
    dst = tmp_path / 'ours.pth'
    dst.write_text('precious')
    with pytest.raises(RuntimeError, match=r'ours\.pth exists.*--overwrite'):
        convert(src, dst)
    assert dst.read_text() == 'precious'
    convert(src, dst, '--overwrite')
    assert torch.load(dst, weights_only=True)['state_dict']
    folder = tmp_path / 'hf'
    folder.mkdir()
    (folder / 'notes.txt').write_text('precious')
    with pytest.raises(RuntimeError, match='exists'):
        convert(src, folder, *to('hf-sam'))
    convert(src, folder, *to('hf-sam'), '--overwrite')
    assert (folder / 'notes.txt').read_text() == 'precious'


@pytest.mark.parametrize(
    ('args', 'match'),
    [
        (['meta.pth', 'ours.onnx'], 'ends with .safetensors'),
        (['meta.pth', 'ours.txt'], 'ends with .safetensors'),
        (['nowhere.pth', 'ours.pth'], 'nowhere.pth.* does not exist'),
        (['page.pth', 'ours.pth'], 'page.pth.* cannot be read'),
        (['meta.pth', 'ours.pth', '--source', 'dit'], 'unknown key .image_en'),
        (['meta.pth', 'ours.pth', '--reverse'], 'give --target'),
        (
            ['meta.pth', 'a.bin', *to('hf-sam'), '--hf-config', 'x'],
            'is for a directory',
        ),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    convert, src, tmp_path, monkeypatch, args, match
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'page.pth').write_text('<html>')
    with pytest.raises(RuntimeError, match=f'1: error: .*{match}'):
        convert(*args)
    assert not (tmp_path / 'ours.pth').exists()


@pytest.mark.parametrize(
    'args',
    [
        ['--target', 'sam'],
        ['--hf-config', 'x'],
        ['--source', 'meta'],
        ['--hash', '--overwrite'],
    ],
)
def test_options_that_make_no_sense_are_rejected(convert, src, tmp_path, args):
    with pytest.raises(RuntimeError, match='2: usage'):
        convert(src, tmp_path / 'ours.pth', *args)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_published_file_has_its_hash_in_its_name(src, tmp_path, suffix):
    """As an MM user calls it; what training alone needs is gone."""
    given = torch.load(src)
    ours = tmp_path / 'ours.pth'
    call_mmdit(tmp_path, 'convert', src, ours)
    trained = torch.load(ours)
    torch.save(dict(trained, optimizer=dict(state={})), ours)
    call_tool('tools/misc/publish_model.py', tmp_path, ours, f'small{suffix}')
    (path,) = tmp_path.glob(f'small*{suffix}')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stem == f'small-{digest[:8]}'
    published = read_checkpoint(str(path))
    assert len(given) == len(published['state_dict'])
    for key, value in trained['state_dict'].items():
        assert torch.equal(published['state_dict'][key], value)
    assert 'optimizer' not in published


def test_the_authors_names_have_no_place_for_late_text(convert, src, tmp_path):
    ours = tmp_path / 'ours.pth'
    convert(src, ours)
    content = torch.load(ours)
    key = 'model.backbone.text_injector.first_block'
    content['meta']['settings'] = {key: 2}
    torch.save(content, ours)
    with pytest.raises(RuntimeError, match='enters block 2 .* late text'):
        convert(ours, tmp_path / 'dit.pth', '--reverse', '--target', 'dit')
    assert not (tmp_path / 'dit.pth').exists()


def test_late_text_starts_from_an_authors_file(convert, bert_dir, tmp_path):
    """Up to the model that is trained from it."""
    released = save_released(bert_dir, tmp_path / 'released.pth')
    late = tmp_path / 'late.pth'
    convert(released, late, '--first-block', 1)
    given = torch.load(released)['state_dict']
    found = read_checkpoint(str(late))
    prefix = 'backbone.text_injector.projections.'
    kept = [k for k in found['state_dict'] if k.startswith(prefix)]
    assert kept == [f'{prefix}0.weight', f'{prefix}0.bias']
    for key in kept:
        theirs = key.replace(f'{prefix}0', 'module.visual_encoder.probs.1')
        assert torch.equal(found['state_dict'][key], given[theirs])
    key = 'model.backbone.text_injector.first_block'
    assert found['meta']['settings'][key] == 1
    model = MODELS.build(small_released(bert_dir, 1, str(late)))
    model.init_weights()
    filled = model.backbone.text_injector.projections.state_dict()
    assert len(filled) == 2
    for key, value in filled.items():
        assert torch.equal(value, found['state_dict'][prefix + key])
    with pytest.raises(RuntimeError, match=r'block 1 of the 2 .* got 0'):
        convert(late, tmp_path / 'early.pth', '--first-block', 0)
    for args in ([tmp_path / 'x'], [tmp_path / 'x.pth', '--reverse']):
        with pytest.raises(RuntimeError, match='DST a suffix, without'):
            convert(released, *args, '--first-block', 1)
