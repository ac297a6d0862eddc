"""``mmdit build-vocab``: the vocabulary of a data set, for a small BERT.

``mmdit build-vocab data/refer vocab.txt`` lists every word of RefCOCO's
expressions, after BERT's special tokens, so that
``BertTextEncoder(config=..., vocab_file='vocab.txt')`` knows all of them. A
JSON-lines file of one's own (docs/own_data.md) does in place of the folder.
"""

import argparse
from collections import Counter
from pathlib import Path

from mmdit.files import write_text

SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Write the vocabulary of a data set, for a small BERT.'
    )
    parser.add_argument(
        'data', type=Path, help='data_root as in the config, or a .jsonl file'
    )
    parser.add_argument('out', type=Path, help='file to write')
    parser.add_argument('--dataset', default='refcoco')
    parser.add_argument('--split-by', default='unc')
    parser.add_argument(
        '--min-count',
        type=int,
        default=1,
        help='leave out words that occur less often',
    )
    return parser.parse_args()


def read_expressions(args: argparse.Namespace) -> list[str]:
    """Return every expression of the data set."""
    # Heavy: not before the arguments have been read.
    from mmdit.datasets.reading.refs import (
        find_refs,
        is_generalized,
        load_refs,
        read_sentence,
    )
    from mmdit.datasets.reading.rows import read_rows

    if args.data.suffix == '.jsonl':
        expressions = []
        for _, row in read_rows(args.data):
            if isinstance(row, ValueError):
                raise ValueError(
                    f'{args.data} has broken rows; check it with "mmdit '
                    f'check-data {args.data}": {row}'
                )
            expressions.append(row.expression)
        return expressions
    folder = args.data / args.dataset
    generalized = is_generalized(folder, args.split_by)
    path = find_refs(folder, args.split_by, generalized)
    return [
        str(read_sentence(sentence, ref.ref_id)[1])
        for ref in load_refs(path, generalized)
        for sentence in ref.sentences
    ]


def main() -> None:
    """Count the words and write them, most frequent first."""
    args = parse_args()
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    expressions = read_expressions(args)
    normalize = BertNormalizer().normalize_str
    split = BertPreTokenizer().pre_tokenize_str
    words = Counter(
        word for text in expressions for word, _ in split(normalize(text))
    )
    kept = [
        word
        for word, count in sorted(words.items(), key=lambda x: (-x[1], x[0]))
        if count >= args.min_count
    ]
    write_text(args.out, '\n'.join([*SPECIAL_TOKENS, *kept]) + '\n')
    print(
        f'{len(kept)} of {len(words)} words of {len(expressions)} '
        f'expressions: {args.out}'
    )
