"""SynthRef: drawn scenes with referring expressions, in RefCOCO's formats.

Data flow: ``scene`` samples objects, ``claims`` and ``language`` find
expressions that are true of one object only, ``drawing`` paints, ``records``
and ``writer`` put it all on disk.
"""

from .claims import KINDS
from .drawing import outline, render
from .language import describe, grammar_words
from .records import draw_example
from .scene import LEVELS, Level, Scene, SceneObject, sample_scene
from .writer import GENERATOR_VERSION, write_synthref

__all__ = [
    'GENERATOR_VERSION',
    'KINDS',
    'LEVELS',
    'Level',
    'Scene',
    'SceneObject',
    'describe',
    'draw_example',
    'grammar_words',
    'outline',
    'render',
    'sample_scene',
    'write_synthref',
]
