"""Masks as files that other programs read."""

import json
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

from mmdit.runtime.formats import coco_dataset
from mmdit.runtime.writing import ResultWriter

from .canvas import draw
from .session import Session, predict


def masks_zip(
    session: Session, threshold: float, place: Path | None = None
) -> bytes:
    """Return a ZIP of what ``mmdit segment --out-dir`` writes.

    A PNG of 0 and 255 at the size of the image for each expression, an
    overlay, and ``predictions.json``.

    Args:
        session: What to write.
        threshold: A pixel belongs to a mask where its probability exceeds
            this.
        place: A folder for what is written on the way.
    """
    _check_predicted(session)
    content = BytesIO()
    with TemporaryDirectory(dir=place) as folder:
        writer = ResultWriter(folder)
        for row, prediction in zip(
            predict(session, threshold), session.predictions, strict=True
        ):
            writer.write(row, draw(session, threshold, prediction.name))
        writer.close()
        with ZipFile(content, 'w', ZIP_DEFLATED) as archive:
            for path in sorted(Path(folder).rglob('*.*')):
                archive.write(path, path.relative_to(folder))
    return content.getvalue()


def coco_json(session: Session, threshold: float) -> str:
    """Return the masks, as ``coco_dataset`` of the results has them."""
    _check_predicted(session)
    # Points and boxes alone have a name here, and no expression.
    rows = zip(predict(session, threshold), session.predictions, strict=True)
    content = coco_dataset(
        [row | dict(expression=prediction.name) for row, prediction in rows]
    )
    return json.dumps(content, ensure_ascii=False)


def _check_predicted(session: Session) -> None:
    """Reject to write files about nothing."""
    if not session.predictions:
        raise ValueError(
            'There are no masks yet: enter an expression, point or box first.'
        )
