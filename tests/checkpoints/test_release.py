"""Files in the authors' format against an independent computation.

The oracle is written from the published description of the release with the
classes of ``segment_anything`` and ``transformers`` alone: every block over
all tokens, BERT's first layer, no masks, corner-aligned upsampling.
"""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from segment_anything.build_sam import _build_sam
from segment_anything.modeling.image_encoder import get_rel_pos
from transformers import BertConfig, BertModel, BertTokenizerFast

from mmdit.registry import MODELS
from mmdit.resources import resolve_config

CONFIG = 'ldit-release_sam-vit-b_4xb16-cosine-40e_refcoco-512x512'
# Half the side that they train at: tables are resized all the same. Heads are
# as many and as wide as those of ViT-B, which has 12 layers.
SIZE, TOKENS = 256, 20
WIDTH, DEPTH, HEADS, GLOBAL = 768, 3, 12, (1, 2)
EXPRESSIONS = ['the left zebra behind a tall giraffe']


class Release(torch.nn.Module):
    """Their model, with fewer layers: SAM, BERT and projections."""

    def __init__(self, vocab_size):
        super().__init__()
        self.sam = _build_sam(WIDTH, DEPTH, HEADS, GLOBAL)
        bert = BertConfig(vocab_size=vocab_size, num_hidden_layers=2)
        self.bert = BertModel(bert)
        self.text_proj = torch.nn.Linear(768, 256)
        self.probs = torch.nn.ModuleList(
            torch.nn.Linear(768, WIDTH) for _ in range(DEPTH)
        )

    def save(self, path):
        """Write a file as theirs: unread parts and ``module.`` included."""
        sam = self.sam.state_dict()
        sam.pop('pixel_mean', None)
        sam.pop('pixel_std', None)
        state_dict = {
            key.replace('image_encoder.', 'visual_encoder.'): value
            for key, value in sam.items()
        }
        for prefix, part in (
            ('lang_encoder.bert.', self.bert),
            ('text_proj.', self.text_proj),
            ('visual_encoder.probs.', self.probs),
        ):
            for key, value in part.state_dict().items():
                state_dict[prefix + key] = value
        state_dict['query_embeddings'] = torch.zeros(1, 4, 768)
        for name, shape in (
            ('in_proj_weight', (2304, 768)),
            ('in_proj_bias', (2304,)),
            ('out_proj.weight', (768, 768)),
            ('out_proj.bias', (768,)),
        ):
            state_dict[f'self_attention.{name}'] = torch.zeros(shape)
        wrapped = {f'module.{key}': v for key, v in state_dict.items()}
        rest = dict(epoch=25, optimizer={}, scheduler={}, lr=1e-4)
        torch.save(dict(rest, state_dict=wrapped), path)

    def encode_text(self, ids, mask):
        hidden = self.bert(
            input_ids=ids, attention_mask=mask, output_hidden_states=True
        ).hidden_states
        return hidden[1]

    def encode_images(self, images, text):
        encoder = self.sam.image_encoder
        x = encoder.patch_embed(images)
        grid = x.shape[1:3]
        positions = encoder.pos_embed.permute(0, 3, 1, 2)
        positions = F.interpolate(
            positions, grid, mode='bicubic', align_corners=False
        )
        x = (x + positions.permute(0, 2, 3, 1)).flatten(1, 2)
        number = text.shape[1]
        for block, prob in zip(encoder.blocks, self.probs, strict=True):
            joined = torch.cat([prob(text), x], dim=1)
            joined = joined + self._attend(block, joined, grid, number)
            joined = joined + block.mlp(block.norm2(joined))
            x = joined[:, number:]
        x = x.unflatten(1, grid).permute(0, 3, 1, 2)
        return encoder.neck(x)

    def _attend(self, block, joined, grid, number):
        attention = block.attn
        heads = attention.num_heads
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in attention.qkv(block.norm1(joined)).chunk(3, dim=-1)
        )
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        own = q[:, :, number:].unflatten(2, grid)
        rows = get_rel_pos(grid[0], grid[0], attention.rel_pos_h)
        columns = get_rel_pos(grid[1], grid[1], attention.rel_pos_w)
        bias = (
            torch.einsum('bnhwc,hkc->bnhwk', own, rows)[..., :, None]
            + torch.einsum('bnhwc,wkc->bnhwk', own, columns)[..., None, :]
        )
        bias = bias.flatten(4).flatten(2, 3)
        scores = scores + F.pad(bias, (number, 0, number, 0))
        out = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return attention.proj(out)

    def forward(self, images, ids, mask):
        text = self.encode_text(ids, mask)
        feats = self.encode_images(images, text)
        sam, grid = self.sam, tuple(feats.shape[-2:])
        logits = [
            sam.mask_decoder.predict_masks(
                image_embeddings=feat[None],
                image_pe=sam.prompt_encoder.pe_layer(grid)[None],
                sparse_prompt_embeddings=words[None],
                dense_prompt_embeddings=sam.prompt_encoder.no_mask_embed.weight[
                    ..., None, None
                ].expand(1, -1, *grid),
            )[0][:, :1]
            for feat, words in zip(feats, self.text_proj(text), strict=True)
        ]
        large = F.interpolate(
            torch.cat(logits),
            images.shape[-2:],
            mode='bilinear',
            align_corners=True,
        )
        return text, feats, large


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory):
    """A BERT directory that holds config and vocabulary alone."""
    folder = tmp_path_factory.mktemp('bert')
    words = sorted({w for text in EXPRESSIONS for w in text.split()})
    lines = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', *words]
    (folder / 'vocab.txt').write_text('\n'.join(lines) + '\n')
    BertTokenizerFast(str(folder / 'vocab.txt')).save_pretrained(folder)
    config = BertConfig(vocab_size=len(lines), num_hidden_layers=2)
    config.save_pretrained(folder)
    return folder


def test_a_released_file_is_computed_as_released(vocabulary, tmp_path):
    torch.manual_seed(0)
    tokenizer = BertTokenizerFast.from_pretrained(vocabulary)
    theirs = Release(len(tokenizer)).eval()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            # Tables and projections matter; norms are not at one.
            value.add_(0.02 * torch.randn_like(value))
            if name.startswith('sam.image_encoder.blocks.') and (
                'rel_pos' in name
            ):
                value.mul_(10)
    theirs.save(tmp_path / 'released.pth')

    cfg = Config.fromfile(resolve_config(CONFIG)).model
    cfg.text_encoder.pretrained = str(vocabulary)
    cfg.backbone.arch = dict(
        embed_dims=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        global_attn_indexes=GLOBAL,
    )
    cfg.init_cfg.checkpoint = str(tmp_path / 'released.pth')
    with DefaultScope.overwrite_default_scope('mmdit'):
        ours = MODELS.build(cfg)
        ours.init_weights()
    ours.eval()
    assert len(ours.text_encoder.bert.encoder.layer) == 1

    images = torch.randn(len(EXPRESSIONS), 3, SIZE, SIZE)
    truth = torch.rand(len(EXPRESSIONS), SIZE, SIZE) < 0.3
    batch = tokenizer(
        EXPRESSIONS,
        padding='max_length',
        max_length=TOKENS,
        return_tensors='pt',
    )
    text, feats, logits = theirs(
        images, batch['input_ids'], batch['attention_mask']
    )
    loss = F.binary_cross_entropy_with_logits(logits[:, 0], truth.float())
    loss.backward()

    our_text, mask = ours.text_encoder(EXPRESSIONS)
    our_feats = ours.extract_feat(images, our_text, mask)
    low = ours.decode_head(our_feats, our_text, mask)
    our_logits = ours.decode_head.predict(low, (SIZE, SIZE))
    our_loss = ours.decode_head.loss(low, truth.long())['loss_mask']
    our_loss.backward()

    for got, expected in (
        (our_text, text),
        (our_feats[-1], feats),
        (our_logits, logits),
        (our_loss, loss),
    ):
        assert far(got, expected) < 1e-5
    head, injector = ours.decode_head, ours.backbone.text_injector
    for got, expected in (
        (injector.projections[0].weight, theirs.probs[0].weight),
        (injector.projections[2].bias, theirs.probs[2].bias),
        (head.text_proj.weight, theirs.text_proj.weight),
        (
            ours.backbone.blocks[1].attn.rel_pos_h,
            theirs.sam.image_encoder.blocks[1].attn.rel_pos_h,
        ),
        (
            ours.backbone.patch_embed.proj.weight,
            theirs.sam.image_encoder.patch_embed.proj.weight,
        ),
        (
            ours.text_encoder.bert.embeddings.word_embeddings.weight,
            theirs.bert.embeddings.word_embeddings.weight,
        ),
    ):
        assert far(got.grad, expected.grad) < 1e-5


def far(got, expected):
    """Return the greatest difference over the greatest value."""
    got, expected = got.detach(), expected.detach()
    return float((got - expected).abs().max() / expected.abs().max())
