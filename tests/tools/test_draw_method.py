"""tools/analysis_tools/draw_method.py."""

from pathlib import Path
from xml.etree import ElementTree

IMAGE = Path(__file__).parents[2] / 'docs/images/method.svg'


def test_the_picture_in_the_docs_is_what_the_tool_draws(run_tool, tmp_path):
    run_tool('analysis_tools/draw_method.py', tmp_path, 'method.svg')
    drawn = (tmp_path / 'method.svg').read_text(encoding='utf-8')
    assert drawn == IMAGE.read_text(encoding='utf-8')
    root = ElementTree.fromstring(drawn)
    said = [''.join(text.itertext()) for text in root.iter() if text.text]
    assert {'BERT', 'W1', 'mask'} <= set(said)
