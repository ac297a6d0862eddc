"""What is published of each data set, to compare an installation with."""

from typing import NamedTuple


class Counts(NamedTuple):
    """How much a split holds; None where nobody has published it."""

    refs: int | None
    sentences: int | None
    images: int | None


# The published counts. Where a number is derived, the rest is published.
# [1] Refs and images: https://www.tensorflow.org/datasets/catalog/ref_coco
# [2] Sentences of RefCOCO: https://flageval.baai.ac.cn, its page on RefCOCO.
# [3] 'all' of RefCOCO: pyReferDemo.ipynb of https://github.com/lichengunc/refer
# [4] 'all' of RefCOCO+: 141,564 expressions for 49,856 objects in 19,992
#     images, in many papers, UniRef++ (arXiv 2312.15715) for one. The
#     sentences of 'train' are what the other splits leave of them.
# [5] Sentences of held-out splits: the table DATASET_SIZES of public training
#     code (keys refcocoplus_unc, refcocog_umd), which agrees with [1] and [2]
#     on RefCOCO.
# [6] 95,010 sentences in all: https://github.com/luogen1996/MCN/issues/7, and
#     9,602 in 'test': arXiv 1608.00525, which calls it the validation
#     partition and its other 85,408 training. 'train' is what 'val' leaves.
# [7] https://github.com/henghuiding/gRefCOCO/issues/6: the paper's 278,232
#     count a part that is not released.
# Nothing reliable was found about RefCLEF: what is published of its unc splits
# adds up to more images than the data set has, and the ReferIt paper's
# 54,127/5,842/60,103 sentences are not those of the cleaned files.
PUBLIC_COUNTS: dict[tuple[str, str], dict[str, Counts]] = {
    ('refcoco', 'unc'): {  # [1] [2] [3]
        'train': Counts(42404, 120624, 16994),
        'val': Counts(3811, 10834, 1500),
        'testA': Counts(1975, 5657, 750),
        'testB': Counts(1810, 5095, 750),
        'all': Counts(50000, 142210, 19994),
    },
    ('refcoco', 'google'): {  # [1]
        'train': Counts(40000, None, 19213),
        'val': Counts(5000, None, 4559),
        'test': Counts(5000, None, 4527),
    },
    ('refcoco+', 'unc'): {  # [1] [4] [5]
        'train': Counts(42278, 120191, 16992),
        'val': Counts(3805, 10758, 1500),
        'testA': Counts(1975, 5726, 750),
        'testB': Counts(1798, 4889, 750),
        'all': Counts(49856, 141564, 19992),
    },
    ('refcocog', 'umd'): {  # [1] [5] [6]
        'train': Counts(42226, 80512, 21899),
        'val': Counts(2573, 4896, 1300),
        'test': Counts(5023, 9602, 2600),
        'all': Counts(49822, 95010, 25799),
    },
    ('refcocog', 'google'): {  # [1]
        'train': Counts(44822, None, 24698),
        'val': Counts(5000, None, 4650),
    },
    ('grefcoco', 'unc'): {  # [7]
        'all': Counts(None, 259859, None),
    },
}
