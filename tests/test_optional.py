"""Without a package that is not required, its features say what to install."""

import sys

import pytest

from mmdit.checkpoints.files import read_checkpoint
from mmdit.decoding import _register_heif
from mmdit.export.onnx import OPSET, check_onnx
from mmdit.hub.client import hub_library
from mmdit.models.text_encoders import BertTextEncoder
from mmdit.optional import needed_by
from mmdit.runtime.onnx import OnnxSegmenter


def read_safetensors(folder):
    path = folder / 'a.safetensors'
    path.write_bytes(bytes(100))
    read_checkpoint(str(path))


@pytest.mark.parametrize(
    ('name', 'package', 'use'),
    [
        ('onnxscript', 'mmdit-seg[onnx]', lambda _: check_onnx(OPSET)),
        ('onnxruntime', 'mmdit-seg[onnx]', OnnxSegmenter),
        ('pillow_heif', 'mmdit-seg[heif]', lambda _: _register_heif('a')),
        ('huggingface_hub', 'mmdit-seg[bert]', lambda _: hub_library()),
        ('transformers', 'mmdit-seg[bert]', lambda f: BertTextEncoder(str(f))),
        ('safetensors', 'safetensors', read_safetensors),
    ],
)
def test_an_absent_package_is_named(monkeypatch, tmp_path, name, package, use):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        use(tmp_path)
    told = str(caught.value)
    assert told.endswith(f'needs {name!r}; run: pip install {package}')


def test_a_package_that_is_there_but_broken_is_quoted():
    with (
        pytest.raises(ImportError, match='web needs libc is too old; run'),
        needed_by('web', 'gradio'),
    ):
        raise ImportError('libc is too old')
