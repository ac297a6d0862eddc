"""Write what the metafiles beside the configs say of each model.

``python tools/misc/make_metafiles.py`` reads every config anew. Collections
and measured results are written by hand, and stay as they are. A test checks
that the files are up to date.
"""

from pathlib import Path

import yaml
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / 'model-index.yml'
ARCHS = dict(base='SAM ViT-B', large='SAM ViT-L', huge='SAM ViT-H')
SETS = {
    'refcoco': 'RefCOCO',
    'refcoco+': 'RefCOCO+',
    'refcocog': 'RefCOCOg',
    'refclef': 'RefCLEF',
    'grefcoco': 'gRefCOCO',
}


def make_files() -> dict[Path, str]:
    """Return the content of every metafile."""
    index = yaml.safe_load(INDEX.read_text())
    # Beside the folders lie other names of configs in them.
    others = {
        path.stem: Config.fromfile(path).to_dict()
        for path in (ROOT / 'configs').glob('*.py')
    }
    files = {}
    for path in (ROOT / name for name in index['Import']):
        head, _, models = path.read_text().partition('Models:\n')
        results = {m['Name']: m['Results'] for m in yaml.safe_load(models)}
        entries = [
            describe(config, results.get(config.stem, []), others)
            for config in sorted(path.parent.glob('*.py'))
        ]
        body = yaml.safe_dump(
            {'Models': entries}, sort_keys=False, allow_unicode=True
        )
        files[path] = head + body
    return files


def describe(path: Path, results: list, others: dict[str, dict]) -> dict:
    """Return the entry of a config."""
    cfg = Config.fromfile(path)
    name, model = path.stem, cfg.model
    metadata: dict = {'Training Data': 'SA-1B'}
    # SAM is there already; nothing else has weights to download.
    is_sam = name.startswith('sam_')
    if not is_sam:
        metadata['Training Data'] = training_data(cfg.train_dataloader.dataset)
        metadata['Batch Size'] = cfg.auto_scale_lr.base_batch_size
    parts = [ARCHS.get(str(model.backbone.arch), 'SAM ViT-tiny')]
    if model.text_encoder is not None:
        is_base = 'pretrained' in model.text_encoder
        parts.append('BERT-base' if is_base else 'BERT-tiny')
    if (injector := model.backbone.get('text_injector')) is not None:
        parts.append(injector.type)
        if first := injector.get('first_block'):
            parts.append(f'text from block {first} on, not in the paper')
    metadata['Architecture'] = parts
    entry: dict = {'Name': name}
    if alias := [n for n, c in others.items() if c == cfg.to_dict()]:
        entry['Alias'] = alias
    entry['In Collection'] = 'SAM' if model.text_encoder is None else 'DIT'
    entry['Config'] = path.relative_to(ROOT).as_posix()
    entry['Metadata'] = metadata
    if is_sam:
        entry['Weights'] = model.init_cfg.checkpoint
    return entry | {'Results': results}


def training_data(dataset: dict) -> str | list[str]:
    """Return the names of the data sets of a config."""
    if dataset['type'] == 'JointRefCOCODataset':
        return ['RefCOCO', 'RefCOCO+', 'RefCOCOg']
    if dataset['type'] == 'ReferJSONLDataset':
        return 'your own'
    if 'synthref' in dataset['data_root']:
        return 'SynthRef'
    return SETS[dataset['name']]


def main() -> None:
    """Write the metafiles."""
    for path, content in make_files().items():
        path.write_text(content)


if __name__ == '__main__':
    main()
