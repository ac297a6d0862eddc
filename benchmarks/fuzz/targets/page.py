"""What a visitor of the web page sends, up to the canvas that is drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from stand_in import StandIn

from mmdit.web import session as sessions
from mmdit.web.canvas import canvas_scale, draw
from mmdit.web.exports import coco_json

from ..judging import Target
from ..trees import mutate_json

_HEIGHT, _WIDTH = 12, 20


def make_page(folder: Path) -> Target:
    """Expressions, points and a threshold, as JSON."""
    path = folder / 'visit.json'
    model: Any = StandIn()
    pixels = np.full((_HEIGHT, _WIDTH, 3), 128, np.uint8)

    def visit() -> None:
        try:
            said = json.loads(path.read_bytes())
        except (ValueError, RecursionError):  # such a body reaches nobody
            return
        if not isinstance(said, dict):
            return
        session = sessions.Session(str(said.get('name')), pixels)
        session = sessions.query(session, said.get('text'), model)
        for point in (said.get('typed'), _clicked(said.get('clicked'))):
            match point:
                case [_, _, _]:
                    session = sessions.add_point(
                        session, said.get('selected'), point, model
                    )
        match said.get('box'):
            case [_, _, _, _] as sides:
                selected = said.get('selected')
                session = sessions.set_box(session, selected, sides, model)
                session = sessions.choose(
                    session, selected, said.get('chosen'), model
                )
        threshold: Any = said.get('threshold')
        sessions.predict(session, threshold)
        draw(session, threshold, said.get('selected'))
        coco_json(session, threshold)

    seed = dict(
        name='photo.png',
        text='the red thing\nblue',
        selected='blue',
        typed=[3, 4.5, 1],
        clicked=[40, 50, 0],
        box=[2, 3, 12, 10],
        chosen=2,
        threshold=0.5,
    )
    small = dict(text='a', threshold=0.1)
    seeds = [json.dumps(said).encode() for said in (seed, small)]
    return Target(path, [visit], seeds, mutate_json)


def _clicked(given: Any) -> Any:
    """Return the point of a click on the canvas, in whole pixels there."""
    try:
        x, y, label = (min(int(value), 2**31) for value in given)
    except (OverflowError, TypeError, ValueError):
        return None
    scale = canvas_scale((_HEIGHT, _WIDTH))
    return x / scale, y / scale, label
