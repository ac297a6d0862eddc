import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from mmdit.runtime.wording import Wording, hint_at_two, tell_unread


def make_tokenizer(*words):
    vocab = {word: i for i, word in enumerate(('[PAD]', '[UNK]', *words))}
    tokenizer = Tokenizer(WordPiece(vocab, unk_token='[UNK]'))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


@pytest.mark.parametrize(
    ('expression', 'unknown', 'truncated'),
    [
        ('the red star', [], False),
        ('The Red  elephant, the zebra, the elephant', 3, True),
        ('the 红星 \N{ROCKET}', ['红', '星', '\N{ROCKET}'], False),
        ('x' * 2000, ['x' * 2000], False),
        (None, [], False),
    ],
)
def test_what_is_not_read_is_told(expression, unknown, truncated):
    wording = Wording(make_tokenizer('the', 'red', 'star'), 5)
    if unknown == 3:
        unknown = ['elephant', ',', 'zebra']
    told = wording.read(expression)
    assert told == dict(unknown_words=unknown, truncated=truncated)
    assert bool(tell_unread(told)) == bool(unknown or truncated)


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (('red', 'star'), 'trained on shapes; knows 2 words, no others'),
        (('red', '##d'), 'trained on shapes; knows 1 words, spells others'),
    ],
)
def test_a_model_says_how_many_words_it_knows(words, told):
    assert Wording(make_tokenizer(*words), 5).describe('shapes') == told


def test_a_model_without_words_or_description_says_so():
    wording = Wording.of(None)
    assert 'do not tell' in wording.describe(None)
    assert 'no words' in wording.describe('photographs')
    assert wording.read('red') == dict(unknown_words=[], truncated=False)


@pytest.mark.parametrize(
    ('expression', 'hinted'),
    [('a dog. a cat.', True), ('a. b.', True), ('the dog.', False)],
)
def test_two_sentences_are_hinted_at(expression, hinted):
    assert bool(hint_at_two(expression)) == hinted
