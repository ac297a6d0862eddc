"""What a model knows, and which words of an expression it does not read."""

import re
from typing import Any

#: Of each prediction, where nothing is amiss.
ALL_READ: dict[str, Any] = dict(unknown_words=[], truncated=False)
_TWO = re.compile(r'\w\s*\.\s+\w')


class Wording:
    """How a model reads words.

    Args:
        tokenizer: Of the package ``tokenizers``; None for a model without
            text.
        max_tokens: Length to which its tokens are cut.
    """

    def __init__(self, tokenizer: Any, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._unknown = None if tokenizer is None else _find_unknown(tokenizer)

    @classmethod
    def of(cls, text_encoder: Any) -> 'Wording':
        """Return how a text encoder reads, None for a model without text."""
        tokenizer = getattr(text_encoder, 'tokenizer', None)
        return cls(
            getattr(tokenizer, 'backend_tokenizer', None),
            getattr(text_encoder, 'max_tokens', 0),
        )

    def read(self, expression: str | None) -> dict[str, Any]:
        """Say what of an expression does not reach the model.

        Returns:
            ``unknown_words``, which become [UNK], each once, or None of a
            tokenizer that spells all words in bytes; and ``truncated``,
            whether the end of the expression is cut off.
        """
        if self._tokenizer is None or expression is None:
            return dict(ALL_READ)
        text = expression.strip().lower()
        encoded = self._tokenizer.encode(text)
        words = [
            text[slice(*place)]
            for token, place in zip(encoded.ids, encoded.offsets, strict=True)
            if token == self._unknown
        ]
        return dict(
            unknown_words=(
                None if self._unknown is None else list(dict.fromkeys(words))
            ),
            truncated=len(encoded.ids) > self._max_tokens,
        )

    def describe(self, trained_on: str | None) -> str:
        """Say what a model knows, in one line.

        Args:
            trained_on: What its weights say of that, if anything.
        """
        said = trained_on or 'unknown data: its weights do not tell'
        if self._tokenizer is None:
            return f'trained on {said}; reads no words'
        words = [w for w in self._tokenizer.get_vocab() if w[:1] != '[']
        if type(self._tokenizer.model).__name__ != 'WordPiece':
            return f'trained on {said}; spells words in {len(words)} pieces'
        pieces = sum(word.startswith('##') for word in words)
        others = 'spells others' if pieces else 'no others'
        return (
            f'trained on {said}; knows {len(words) - pieces} words, {others}'
        )


def _find_unknown(tokenizer: Any) -> int | None:
    """Return the id of unknown words, None where bytes spell all words."""
    split, model = tokenizer.pre_tokenizer, tokenizer.model
    if split is not None and b'ByteLevel' in split.__getstate__():
        return None
    if hasattr(model, 'unk_token'):
        return model.unk_token and tokenizer.token_to_id(model.unk_token)
    # Unigram does not tell; this character is in no vocabulary.
    tokens = model.tokenize('\U0010fffd')
    return tokens[0].id if len(tokens) == 1 else None


def tell_unread(row: dict) -> str:
    """Say in words what of its expression a prediction has not read."""
    notes = []
    if row.get('unknown_words'):
        words = ', '.join(row['unknown_words'])
        notes.append(f'unknown to this model: {words}')
    if row.get('truncated'):
        notes.append('too long: its end is not read')
    return '; '.join(notes)


def hint_at_two(expression: str) -> str | None:
    """Return a hint where one expression may be meant as several."""
    if not _TWO.search(expression):
        return None
    return (
        f'{expression!r} is one expression here: a full stop does not '
        'separate two'
    )
