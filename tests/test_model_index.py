"""model-index.yml and its metafiles keep in step with the configs."""

import re
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmdit.resources import list_configs

ROOT = Path(__file__).parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
FILES = [yaml.safe_load((ROOT / name).read_text()) for name in INDEX['Import']]
MODELS = [model for file in FILES for model in file['Models']]
COLLECTIONS = {
    collection['Name']: collection
    for file in FILES
    for collection in file.get('Collections', [])
}
ARCHS = dict(base='SAM ViT-B', large='SAM ViT-L', huge='SAM ViT-H')
SETS = {
    'refcoco': 'RefCOCO',
    'refcoco+': 'RefCOCO+',
    'refcocog': 'RefCOCOg',
    'refclef': 'RefCLEF',
    'grefcoco': 'gRefCOCO',
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


def describe(cfg, name):
    """Say what a config's metadata has to be."""
    arch = cfg.model.backbone.arch
    parts = [ARCHS[arch] if isinstance(arch, str) else 'SAM ViT-tiny']
    if (text_encoder := cfg.model.text_encoder) is not None:
        is_base = 'pretrained' in text_encoder
        parts.append('BERT-base' if is_base else 'BERT-tiny')
    if (injector := cfg.model.backbone.get('text_injector')) is not None:
        parts.append(injector.type)
    if name.startswith('sam_'):  # its weights are SAM's own
        return {'Training Data': 'SA-1B', 'Architecture': parts}
    gpus = re.search(r'_(\d+)xb\d+', name)
    batch_size = cfg.train_dataloader.batch_size
    return {
        'Training Data': training_data(cfg.train_dataloader.dataset),
        'Batch Size': batch_size * (int(gpus[1]) if gpus else 1),
        'Architecture': parts,
    }


def training_data(dataset):
    if dataset.type == 'JointRefCOCODataset':
        return ['RefCOCO', 'RefCOCO+', 'RefCOCOg']
    if dataset.type == 'ReferJSONLDataset':
        return 'your own'
    if 'synthref' in dataset.data_root:
        return 'SynthRef'
    return SETS[dataset.name]


def test_models_are_what_their_configs_say():
    for model in MODELS:
        name, config = model['Name'], ROOT / model['Config']
        assert config.stem == name
        assert model['In Collection'] in COLLECTIONS, name
        cfg = Config.fromfile(config)
        assert model['Metadata'] == describe(cfg, name), name
        if 'Batch Size' in model['Metadata']:
            base = cfg.auto_scale_lr.base_batch_size
            assert base == model['Metadata']['Batch Size'], name
        # SAM is there already; nothing else has weights to download.
        plain = name.startswith('sam_')
        checkpoint = cfg.model.init_cfg.checkpoint if plain else None
        assert model.get('Weights') == checkpoint, name
        for alias in model.get('Alias', []):
            same = Config.fromfile(list_configs()[alias])
            assert same.to_dict() == cfg.to_dict(), alias


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
