"""Masks as files that other programs read."""

import json
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

from mmdit.apis.writing import ResultWriter

from .canvas import draw
from .session import Session, predict


def masks_zip(
    session: Session, threshold: float, place: Path | None = None
) -> bytes:
    """Return a ZIP of what ``mmdit segment --out-dir`` writes.

    A PNG of 0 and 255 at the size of the picture for each expression, an
    overlay, and ``predictions.json``.

    Args:
        session: What to write.
        threshold: A pixel belongs to a mask where its probability exceeds
            this.
        place: A folder for what is written on the way.
    """
    _check_answered(session)
    content = BytesIO()
    with TemporaryDirectory(dir=place) as folder:
        writer = ResultWriter(folder)
        for row in predict(session, threshold):
            writer.write(row, draw(session, threshold, row['expression']))
        writer.close()
        with ZipFile(content, 'w', ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob('*.*')):
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def coco_json(session: Session, threshold: float) -> str:
    """Return the masks as a COCO data set of one image.

    Every expression is a category; one that found nothing has no annotation.
    Annotations hold compressed RLE and the score.
    """
    _check_answered(session)
    height, width = session.pixels.shape[:2]
    image = dict(id=1, file_name=session.name, width=width, height=height)
    content: dict = dict(images=[image], annotations=[], categories=[])
    for i, row in enumerate(predict(session, threshold), 1):
        content['categories'].append(
            dict(id=i, name=row['expression'], supercategory='expression')
        )
        if row['box'] is None:
            continue
        left, top, right, bottom = row['box']
        content['annotations'].append(
            dict(
                id=i,
                image_id=image['id'],
                category_id=i,
                segmentation=row['rle'],
                area=int(row['mask'].sum()),
                bbox=[left, top, right - left + 1, bottom - top + 1],
                iscrowd=0,
                score=round(row['score'], 4),
            )
        )
    return json.dumps(content, ensure_ascii=False)


def _check_answered(session: Session) -> None:
    """Refuse to write files about nothing."""
    if not session.answers:
        raise ValueError(
            'There are no masks yet: type an expression and press Find first.'
        )


__all__ = ['coco_json', 'masks_zip']
