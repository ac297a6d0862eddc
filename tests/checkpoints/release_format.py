"""Names and shapes of the authors' files, from their published description.

SAM's and BERT's parts are those of ``segment_anything`` and ``transformers``;
what joins them is written by hand, without calling the package.
"""

import torch
from segment_anything import sam_model_registry
from transformers import BertConfig, BertModel

TEXT, TOKENS, ATTENTION, FFN = 768, 20, 512, 2048
# Encoder width and number of blocks.
SIZES = dict(b=(768, 12), l=(1024, 24), h=(1280, 32))
# Never read, but demanded by strict loading; the second not without text.
DEMANDED = {'query_embeddings': (1, 4, TEXT)}
DEMANDED_WITH_TEXT = {
    'self_attention.in_proj_weight': (3 * TEXT, TEXT),
    'self_attention.in_proj_bias': (3 * TEXT,),
    'self_attention.out_proj.weight': (TEXT, TEXT),
    'self_attention.out_proj.bias': (TEXT,),
}


def release_shapes(injector=None, size='b', decoder_layers=2):
    """Return the shape of every tensor of a file, by name.

    Args:
        injector: Our class of the variant; None without text in the encoder.
        size: Of SAM's encoder.
        decoder_layers: Of the mask decoder.
    """
    with torch.device('meta'):
        sam = sam_model_registry[f'vit_{size}']().state_dict()
        bert = BertModel(BertConfig()).state_dict()
    shapes = {
        key.replace('image_encoder.', 'visual_encoder.'): tuple(value.shape)
        for key, value in sam.items()
    }
    # Further layers of the decoder are as its second one.
    second = 'mask_decoder.transformer.layers.1.'
    for layer in range(2, decoder_layers):
        shapes |= {
            key.replace('layers.1.', f'layers.{layer}.'): shape
            for key, shape in list(shapes.items())
            if key.startswith(second)
        }
    shapes |= {
        f'lang_encoder.bert.{key}': tuple(value.shape)
        for key, value in bert.items()
    }
    shapes |= linear('text_proj', 256, TEXT) | DEMANDED
    if injector is None:
        return shapes
    injected = {
        f'visual_encoder.{key}': shape
        for key, shape in injected_shapes(injector, *SIZES[size]).items()
    }
    return shapes | DEMANDED_WITH_TEXT | injected


def linear(name, out, into):
    """Return the shapes of a linear layer."""
    return {f'{name}.weight': (out, into), f'{name}.bias': (out,)}


def norm(name, width):
    """Return the shapes of a LayerNorm."""
    return {f'{name}.weight': (width,), f'{name}.bias': (width,)}


def injected_shapes(injector, width, depth):
    """Return what a variant adds to the image encoder."""
    shapes = linear('prob_text', width, TEXT) if width != TEXT else {}
    if injector == 'EndToEndToken':
        shapes |= linear('probs', width, width)
        shapes['tokens'] = (depth - 1, TOKENS, width)
    elif injector == 'LayerwiseToken':
        shapes['tokens'] = (depth, TOKENS, width)
    elif injector != 'LayerwiseCrossAttentionFFN':
        for i in range(depth):
            shapes |= linear(f'probs.{i}', width, width)
    if injector == 'LayerwiseCrossAttention':
        for i in range(depth - 1):
            shapes |= attention(f'cross.{i}.linear_', width)
            shapes |= norm(f'ln.{i}', width)
    elif injector == 'LayerwiseCrossAttentionFFN':
        for i in range(depth):
            shapes |= attention(f'cross.{i}.mhatt.linear_', width)
            shapes |= linear(f'cross.{i}.ffn.mlp.fc.linear', FFN, width)
            shapes |= linear(f'cross.{i}.ffn.mlp.linear', width, FFN)
            for name in (f'cross.{i}.norm1', f'cross.{i}.norm2', f'ln.{i}'):
                shapes |= norm(name, width)
    return shapes


def attention(prefix, width):
    """Return the shapes of an attention's four linear layers."""
    shapes = linear(f'{prefix}merge', width, ATTENTION)
    for name in 'qkv':
        shapes |= linear(f'{prefix}{name}', ATTENTION, width)
    return shapes


def on_meta(shapes, prefix=''):
    """Return tensors without values, as a file would hold them."""
    return {
        f'{prefix}{key}': torch.empty(shape, device='meta')
        for key, shape in shapes.items()
    }
