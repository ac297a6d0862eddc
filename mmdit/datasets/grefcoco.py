"""gRefCOCO: expressions that name one thing, several, or nothing."""

from itertools import chain
from typing import Any

from mmdit.registry import DATASETS

from .reading.refs import Ref
from .refcoco import RefCOCODataset


@DATASETS.register_module()
class GRefCOCODataset(RefCOCODataset):
    """Expressions that refer to one object, several or none (no-target).

    Items are those of ``RefCOCODataset``, with two differences: ``ann_id`` is
    a list, and ``no_target`` says whether the expression refers to no object
    in the image. ``segmentation`` lists the polygons and RLEs of all
    annotations; their union is the mask. Crowds (``iscrowd``) are left out of
    it, as the benchmark's own reader (ReLA) leaves them; an expression that
    refers to crowds alone then counts as no-target.

    Files (Liu et al., "GRES: Generalized Referring Expression Segmentation",
    CVPR 2023): ``<data_root>/grefcoco/grefs(unc).json`` or ``.p`` and
    ``instances.json``; splits ``train``, ``val``, ``testA`` and ``testB``.

    Args:
        name: Folder of the files, by default ``grefcoco``.
        count_crowds: Let crowds count like other annotations.
        shuffle_expressions: Not for gRefCOCO: what two expressions of an image
            name may overlap, so that wrong words could be partly right.
        **kwargs: As in ``RefCOCODataset``.
    """

    IMAGES = {'grefcoco': 'images/train2014'}
    GENERALIZED = True

    def __init__(
        self,
        *,
        name: str = 'grefcoco',
        count_crowds: bool = False,
        shuffle_expressions: bool = False,
        **kwargs: Any,
    ) -> None:
        if shuffle_expressions:
            raise ValueError(
                'shuffle_expressions=True is not a control experiment on '
                'gRefCOCO: what two expressions of an image name may overlap, '
                'so a model that reads the words need not fail; set it to '
                'False, or use RefCOCODataset'
            )
        self.count_crowds = count_crowds
        super().__init__(name=name, **kwargs)

    def _target(self, ref: Ref) -> dict:
        """Return all that the ref refers to, which may be nothing."""
        counted = [
            annotation
            for annotation in ref.annotations
            if self.count_crowds or not annotation.get('iscrowd')
        ]
        parts = (_parts(a.get('segmentation')) for a in counted)
        return dict(
            ann_id=ref.ann_ids,
            segmentation=list(chain.from_iterable(parts)),
            no_target=not counted,
        )


def _parts(segmentation: Any) -> list:
    """Return the polygons or RLEs of a COCO segmentation.

    What is none of both stays in the list, to be rejected when it is drawn.
    """
    return segmentation if isinstance(segmentation, list) else [segmentation]
