"""model-index.yml and its metafiles keep in step with the configs."""

import re
import runpy
from pathlib import Path

import pytest
import yaml

from mmdit.resources import list_configs

ROOT = Path(__file__).parents[1]
MAKER = str(ROOT / 'tools/misc/make_metafiles.py')
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
FILES = [yaml.safe_load((ROOT / name).read_text()) for name in INDEX['Import']]
MODELS = [model for file in FILES for model in file['Models']]
COLLECTIONS = {
    collection['Name']: collection
    for file in FILES
    for collection in file.get('Collections', [])
}


def test_the_index_is_one_to_mims_own_reader():
    reader = pytest.importorskip('modelindex.load_model_index')
    index = reader.load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert len(index.models) == len(MODELS)
    for model in index.models:
        collection = COLLECTIONS[model.in_collection]
        assert model.full_model.readme == collection['README']


def test_every_metafile_is_imported_and_every_config_listed_once():
    metafiles = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / 'configs').rglob('metafile.yml')
    }
    assert metafiles == set(INDEX['Import'])
    aliases = [alias for model in MODELS for alias in model.get('Alias', [])]
    names = [model['Name'] for model in MODELS] + aliases
    assert sorted(names) == sorted(list_configs())


def test_metafiles_say_what_the_configs_say():
    for path, content in runpy.run_path(MAKER)['make_files']().items():
        advice = 'run python tools/misc/make_metafiles.py'
        assert path.read_text() == content, advice


def test_batch_sizes_are_those_of_the_names():
    for model in MODELS:
        assert model['In Collection'] in COLLECTIONS, model
        if found := re.search(r'_(\d+)xb(\d+)', model['Name']):
            size = int(found[1]) * int(found[2])
            assert model['Metadata']['Batch Size'] == size, model


def test_only_what_the_readme_says_was_measured_has_results():
    (measured,) = [model for model in MODELS if model['Results']]
    assert measured['Name'] == 'ldit_tiny_synthref-64x64'
    (result,) = measured['Results']
    row = r'expressions as written +([\d.]+) +([\d.]+) '
    mean, overall = re.search(row, (ROOT / 'README.md').read_text()).groups()
    assert result['Dataset'] == measured['Metadata']['Training Data']
    assert result['Metrics'] == dict(mIoU=float(mean), oIoU=float(overall))


def test_collections_explain_themselves():
    for name, collection in COLLECTIONS.items():
        assert (ROOT / collection['README']).is_file(), name
        paper = collection['Paper']['URL']
        assert paper.startswith('https://arxiv.org/abs/'), name
