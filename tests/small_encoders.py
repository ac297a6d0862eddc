"""A small text encoder of each family, as ``transformers`` writes it."""

import json

import torch
from tokenizers import (
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SENTENCES = (
    'the red circle on the left',
    'a big blue square',
    'the small circle right of a square',
    '左边的红色圆圈',
    '右边的蓝色方块',
)
# Special tokens in the order of their ids.
_ROBERTA = dict(bos='<s>', pad='<pad>', eos='</s>', unk='<unk>', mask='<mask>')
_BERT = dict(pad='[PAD]', unk='[UNK]', bos='[CLS]', eos='[SEP]', mask='[MASK]')
_END = '<|endoftext|>'
_CLIP = dict(bos='<|startoftext|>', eos=_END, pad=_END, unk=_END)
# Class of the tokenizer, and what it needs.
TOKENIZERS = {
    'bert': ('BertTokenizer', _BERT),
    'roberta': ('RobertaTokenizer', _ROBERTA),
    'xlm-roberta': ('XLMRobertaTokenizer', _ROBERTA),
    'deberta-v2': ('DebertaV2Tokenizer', _BERT),
    'modernbert': ('PreTrainedTokenizerFast', _BERT),
    'clip': ('CLIPTokenizer', _CLIP),
}
FAMILIES = tuple(TOKENIZERS)
_SIZES = dict(
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
)


def _make_tokenizer(family):
    """Train a tokenizer as the published ones of a family are made."""
    special = TOKENIZERS[family][1]
    options = dict(
        special_tokens=list(dict.fromkeys(special.values())),
        show_progress=False,
    )
    letters = pre_tokenizers.ByteLevel.alphabet()
    if family == 'bert':
        tokenizer = Tokenizer(models.WordPiece(unk_token='[UNK]'))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=200, **options)
    elif family in ('xlm-roberta', 'deberta-v2'):
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, unk_token=special['unk'], **options
        )
    else:
        suffixed = {'clip': dict(end_of_word_suffix='</w>')}.get(family, {})
        unknown = {'clip': dict(unk_token=special['unk'])}.get(family, {})
        tokenizer = Tokenizer(models.BPE(**suffixed, **unknown))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False)
        trainer = trainers.BpeTrainer(
            vocab_size=600, initial_alphabet=letters, **suffixed, **options
        )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    ends = special['bos'], special['eos']
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f'{ends[0]} $A {ends[1]}',
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ends],
    )
    return tokenizer


def write_encoder(family, folder):
    """Write config, weights and tokenizer; return the folder's path."""
    from transformers import AutoConfig, AutoModel

    kind, special = TOKENIZERS[family]
    tokenizer = _make_tokenizer(family)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / 'tokenizer.json'))
    names = {f'{name}_token': token for name, token in special.items()}
    (folder / 'tokenizer_config.json').write_text(
        json.dumps(dict(tokenizer_class=kind, **names))
    )
    ids = {
        f'{name}_id': tokenizer.token_to_id(token)
        for name, token in names.items()
        if name in ('bos_token', 'eos_token', 'pad_token')
    }
    sizes = dict(_SIZES, vocab_size=tokenizer.get_vocab_size(), **ids)
    if family == 'clip':
        vision = dict(_SIZES, image_size=8, patch_size=8, projection_dim=8)
        sizes = dict(text_config=sizes, vision_config=vision, projection_dim=8)
    if family == 'deberta-v2':
        sizes.update(
            relative_attention=True,
            position_buckets=4,
            position_biased_input=False,
            norm_rel_ebd='layer_norm',
            share_att_key=True,
            pos_att_type=['p2c', 'c2p'],
            type_vocab_size=0,
        )
    torch.manual_seed(3)
    model = AutoModel.from_config(AutoConfig.for_model(family, **sizes))
    model.save_pretrained(folder)
    return str(folder)
