"""Write the vocabulary of a data set, for a small BERT of one's own.

``python tools/dataset_converters/build_vocab.py data/refer vocab.txt`` lists
every word of RefCOCO's expressions, after BERT's special tokens, so that
``BertTextEncoder(config=..., vocab_file='vocab.txt')`` knows all of them.
"""

import argparse
from collections import Counter
from pathlib import Path

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from mmdit.datasets.refer import load_refs

SPECIAL_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data_root', type=Path, help='as in the config')
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


def main() -> None:
    """Count the words and write them, most frequent first."""
    args = parse_args()
    refs = load_refs(
        args.data_root / args.dataset / f'refs({args.split_by}).p'
    )
    normalize = BertNormalizer().normalize_str
    split = BertPreTokenizer().pre_tokenize_str
    words = Counter(
        word
        for ref in refs
        for sentence in ref['sentences']
        for word, _ in split(normalize(sentence['sent']))
    )
    kept = [
        word
        for word, count in sorted(words.items(), key=lambda x: (-x[1], x[0]))
        if count >= args.min_count
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    text = '\n'.join([*SPECIAL_TOKENS, *kept]) + '\n'
    args.out.write_text(text, encoding='utf-8')
    print(f'{len(kept)} of {len(words)} words of {len(refs)} refs: {args.out}')


if __name__ == '__main__':
    main()
