"""Small checkpoints of every kind, random weights.

The renaming here is written apart from that of the package.
"""

import re
from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from transformers import SamConfig, SamModel

WIDTH, DEPTH, DECODER, TEXT = 16, 3, 32, 8
TO_TRANSFORMERS = (
    (r'^image_encoder\.', 'vision_encoder.'),
    (r'\.patch_embed\.proj\.', '.patch_embed.projection.'),
    (r'\.blocks\.', '.layers.'),
    (r'\.neck\.0\.', '.neck.conv1.'),
    (r'\.neck\.1\.', '.neck.layer_norm1.'),
    (r'\.neck\.2\.', '.neck.conv2.'),
    (r'\.neck\.3\.', '.neck.layer_norm2.'),
    (r'\.norm(\d)\.', r'.layer_norm\1.'),
    (r'\.norm_final_attn\.', '.layer_norm_final_attn.'),
    (r'\.point_embeddings\.', '.point_embed.'),
    (r'\.mask_downscaling\.0\.', '.mask_embed.conv1.'),
    (r'\.mask_downscaling\.1\.', '.mask_embed.layer_norm1.'),
    (r'\.mask_downscaling\.3\.', '.mask_embed.conv2.'),
    (r'\.mask_downscaling\.4\.', '.mask_embed.layer_norm2.'),
    (r'\.mask_downscaling\.6\.', '.mask_embed.conv3.'),
    (r'\.output_upscaling\.0\.', '.upscale_conv1.'),
    (r'\.output_upscaling\.1\.', '.upscale_layer_norm.'),
    (r'\.output_upscaling\.3\.', '.upscale_conv2.'),
    (r'(mlps\.\d|head)\.layers\.0\.', r'\1.proj_in.'),
    (r'(mlps\.\d|head)\.layers\.2\.', r'\1.proj_out.'),
    (r'(mlps\.\d|head)\.layers\.1\.', r'\1.layers.0.'),
    (
        r'prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix',
        'shared_image_embedding.positional_embedding',
    ),
)


def disturb(model):
    """Leave no norm at one and no table at zero: mistakes would not show."""
    for value in model.parameters():
        value.data += 0.1 * torch.randn_like(value)


def make_sam(depth=DEPTH, width=WIDTH):
    """Make a SAM of ``segment_anything``'s own classes."""
    torch.manual_seed(3)
    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=256,
            embed_dim=width,
            depth=depth,
            num_heads=2,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            out_chans=DECODER,
            use_rel_pos=True,
            window_size=14,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(DECODER, (16, 16), (256, 256), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=DECODER,
            transformer=TwoWayTransformer(2, DECODER, 2, 48),
            iou_head_hidden_dim=DECODER,
        ),
    )
    disturb(sam)
    return sam.eval()


def make_hf_sam():
    """Make the same architecture of ``transformers``' classes."""
    torch.manual_seed(4)
    sizes = dict(image_size=256, patch_size=16)
    model = SamModel(
        SamConfig(
            vision_config=dict(
                hidden_size=WIDTH,
                num_hidden_layers=DEPTH,
                num_attention_heads=2,
                output_channels=DECODER,
                global_attn_indexes=[1],
                num_pos_feats=DECODER // 2,
                mlp_dim=4 * WIDTH,
                **sizes,
            ),
            prompt_encoder_config=dict(hidden_size=DECODER, **sizes),
            mask_decoder_config=dict(
                hidden_size=DECODER,
                mlp_dim=48,
                num_attention_heads=2,
                iou_head_hidden_dim=DECODER,
            ),
        )
    )
    disturb(model)
    return model.eval()


def to_transformers(state_dict):
    """Rename Meta's keys to those of ``SamModel``."""
    renamed = {}
    for key, value in state_dict.items():
        for pattern, new in TO_TRANSFORMERS:
            key = re.sub(pattern, new, key)
        renamed[key] = value
    return renamed


# From our names to those in the files that the authors train.
TO_AUTHORS = (
    (r'^decode_head\.text_proj', 'text_proj'),
    (r'^decode_head\.', ''),
    (r'^text_encoder', 'lang_encoder'),
    (r'^backbone\.text_injector\.adapter', 'visual_encoder.prob_text'),
    (r'^backbone\.text_injector\.projections?', 'visual_encoder.probs'),
    (r'^backbone\.text_injector\.offsets', 'visual_encoder.tokens'),
    (r'^backbone\.text_injector\.norms\.(\d+)\.weight', r'ln.\1.weight'),
    (r'^backbone\.text_injector\.norms\.(\d+)\.bias', r'ln.\1.bias'),
    (r'^backbone\.text_injector\.attentions\.(\d+)\.', r'cross.\1.linear_'),
    (
        r'^backbone\.text_injector\.layers\.(\d+)\.attention\.',
        r'cross.\1.mhatt.linear_',
    ),
    (r'^backbone\.text_injector\.layers\.', 'cross.'),
    (r'linear_query', 'linear_q'),
    (r'linear_key', 'linear_k'),
    (r'linear_value', 'linear_v'),
    (r'linear_out', 'linear_merge'),
    (r'ffn\.fc1', 'ffn.mlp.fc.linear'),
    (r'ffn\.fc2', 'ffn.mlp.linear'),
    (r'^(cross|ln)\.', r'visual_encoder.\1.'),
    (r'^backbone\.', 'visual_encoder.'),
)


def to_authors(state_dict):
    """Rename mmdit's keys to those of the DIT authors."""
    renamed = {}
    for key, value in state_dict.items():
        for pattern, new in TO_AUTHORS:
            key = re.sub(pattern, new, key)
        renamed[key] = value
    return renamed
