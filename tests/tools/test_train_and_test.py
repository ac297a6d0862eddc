"""The whole way through the command line: data, training, scores, pictures."""

import json
import shutil
from functools import partial
from pathlib import Path

import cv2
import pytest
import torch
from forked import fork, free_port, run_python, script_command, wait
from in_process import call_mmdit, call_tool
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from mmdit.datasets.synthref import write_synthref
from mmdit.evaluation import ReferIoUMetric
from mmdit.registry import DATASETS, MODELS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/synthref/ldit_tiny_synthref-64x64.py'
SMALL = [
    'model.backbone.arch.depth=2',
    'train_dataloader.batch_size=4',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
]


def train(cwd, work_dir, *options, steps=4, resume=False, config=CONFIG):
    call_tool(
        *('tools/train.py', cwd, config, '--work-dir', work_dir),
        *(['--resume'] if resume else []),
        *([resume] if isinstance(resume, Path) else []),
        *('--cfg-options', *SMALL, f'train_cfg.max_iters={steps}'),
        *(f'train_cfg.val_interval={steps}', *options),
    )
    return cwd / work_dir


def losses(work_dir):
    """Read the loss of every step from the logs of a work dir."""
    lines = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines += path.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {row['step']: row['loss'] for row in rows if 'loss' in row}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with a small SynthRef and a trained model."""
    folder = tmp_path_factory.mktemp('run')
    write_synthref(folder / 'data/synthref', train=24, val=5)
    train(folder, 'first')
    return folder


def test_the_same_seed_gives_the_same_losses(folder):
    again = train(folder, 'again')
    first = losses(folder / 'first')
    assert len(first) == 4 and len(set(first.values())) == 4
    assert losses(again) == first


def test_the_learning_rate_follows_the_total_batch(folder):
    options = [*SMALL, 'train_cfg.max_iters=1', 'train_cfg.val_interval=1']
    for loader in ('train_dataloader', 'val_dataloader'):
        # As in a config for workers.
        options.append(f'{loader}.persistent_workers=True')
        options.append(f'{loader}.num_workers=0')
    call_tool(
        *('tools/train.py', folder, CONFIG, '--work-dir', 'scaled'),
        *('--auto-scale-lr', '--cfg-options', *options),
    )
    (log,) = (folder / 'scaled').glob('*/*.log')
    text = log.read_text()
    line = 'total batch 4 (1 x 4), the recipe: batch 16 at learning rate 0.000'
    assert f'{line}7; --auto-scale-lr makes it 0.000175 here' in text
    saved = torch.load(folder / 'scaled/iter_1.pth', weights_only=False)
    (group,) = saved['optimizer']['param_groups']
    assert group['initial_lr'] == pytest.approx(7e-4 / 4)


def test_tensorboard_gets_the_curves(folder):
    from tensorboard.backend.event_processing import event_accumulator

    (events,) = (folder / 'first').glob('*/vis_data/events.out.tfevents.*')
    reader = event_accumulator.EventAccumulator(str(events))
    reader.Reload()
    assert len(reader.Scalars('loss')) == 4
    assert 'mIoU' in reader.Tags()['scalars']


def test_an_interrupted_run_continues_with_its_averaged_weights(folder):
    config = folder / 'averaged.py'
    config.write_text(
        f"_base_ = '{CONFIG}'\n"
        "custom_hooks = [dict(type='EMAHook', momentum=3e-4, gamma=9,\n"
        "                     ema_type='MomentumAnnealingEMA')]\n"
    )
    work_dir = train(folder, 'interrupted', steps=2, config=config)
    train(folder, 'interrupted', steps=4, resume=True, config=config)
    assert sorted(losses(work_dir)) == [1, 2, 3, 4]
    saved = torch.load(work_dir / 'iter_4.pth', weights_only=False)
    assert saved['ema_state_dict']['steps'] == 4
    key = 'decode_head.text_proj.weight'
    assert not torch.equal(
        saved['state_dict'][key], saved['ema_state_dict'][f'module.{key}']
    )


def test_a_run_goes_on_from_any_checkpoint_as_if_never_interrupted(folder):
    forked = train(folder, 'forked', resume=folder / 'first/iter_2.pth')
    key = 'decode_head.text_proj.weight'
    one, other = (
        torch.load(path / 'iter_4.pth', weights_only=False)['state_dict'][key]
        for path in (folder / 'first', forked)
    )
    assert torch.equal(one, other)
    train(folder, 'forked', 'resume=True', steps=6)
    assert sorted(losses(forked)) == [3, 4, 5, 6]
    assert (forked / 'last_checkpoint').read_text() == 'iter_6.pth'


def score(folder, out, *args):
    """Score the trained model; return what was printed and the rows."""
    printed = call_tool(
        *('tools/test.py', folder, CONFIG, folder / 'first/iter_4.pth'),
        *('--work-dir', 'scored', '--out', out, *args),
        *('--cfg-options', *SMALL),
    )
    return printed, json.loads((folder / out).read_text())


def test_a_used_work_dir_is_not_overwritten(folder):
    before = (folder / 'first/last_checkpoint').read_text()
    with pytest.raises(SystemExit, match='first holds iter_4.pth'):
        train(folder, 'first')
    assert (folder / 'first/last_checkpoint').read_text() == before


def test_scores_rows_and_pictures_agree(folder):
    printed, rows = score(folder, 'out/rows.json', '--show-dir', 'pictures')
    metrics = ReferIoUMetric().compute_metrics(rows)
    for name, value in metrics.items():
        assert f'{name}: {value:.4f}' in printed
    pictures = {p.name for p in (folder / 'pictures').iterdir()}
    assert len(pictures) == len(rows) > 10
    for row in rows:
        stem = Path(row['img_path']).stem
        assert f'{stem}_sent{row["sent_id"]}.png' in pictures
    picture = cv2.imread(str(folder / 'pictures' / pictures.pop()))
    assert picture.shape[1] > 3 * 256


def test_several_splits_are_one_table_and_files_of_their_own(folder):
    printed = call_tool(
        *('tools/test.py', folder, CONFIG, folder / 'first/iter_4.pth'),
        *('--work-dir', 'splits', '--splits', 'val', 'train'),
        *('--out', 'splits.json', '--show-dir', 'shown'),
        *('--cfg-options', *SMALL),
    )
    lines = printed.splitlines()
    for split in ('val', 'train'):
        rows = json.loads(
            (folder / f'splits_refcoco_{split}.json').read_text()
        )
        assert {(r['dataset'], r['split']) for r in rows} == {
            ('refcoco', split)
        }
        pictures = list((folder / f'shown/refcoco_{split}').iterdir())
        assert len(pictures) == len(rows)
        (line,) = (x for x in lines if x.startswith(f'refcoco {split} '))
        score = ReferIoUMetric().compute_metrics(rows)
        assert line.split()[2] == f'{score["mIoU"]:.2f}'
        assert line.split()[-1] == str(len(rows))


def test_two_processes_score_as_one(folder):
    _, alone = score(folder, 'alone.json')
    first = folder / 'first/iter_4.pth'
    given = ['--work-dir', 'scored2', '--out', 'together.json']
    given += ['--show-dir', 'pictures2', '--cfg-options', *SMALL]
    command = script_command(
        *(ROOT / 'tools/dist_test.sh', CONFIG, first, 2, *given)
    )
    log = folder / 'together.log'
    environment = dict(PORT=free_port()['MASTER_PORT'])
    run = partial(run_python, command)
    assert not wait(fork(run, folder, log, environment)), log.read_text()
    assert json.loads((folder / 'together.json').read_text()) == alone
    metrics = ReferIoUMetric().compute_metrics(alone)
    printed = log.read_text()
    assert f'mIoU: {metrics["mIoU"]:.4f}' in printed
    # Every process draws its own share.
    assert len(list((folder / 'pictures2').iterdir())) == len(alone)


def test_a_checkpoint_of_another_model_is_rejected(folder):
    args = folder / 'first/iter_4.pth', '--work-dir', 'rejected'
    with pytest.raises(ValueError, match=r'missing: backbone\.blocks\.2'):
        call_tool('tools/test.py', folder, CONFIG, *args)


def test_settings_without_parameters_are_compared(folder):
    """E-DIT takes the weights of L-DIT: same keys, same shapes."""
    other = 'model.backbone.text_injector.type=EndToEndProjection'
    first = folder / 'first/iter_4.pth'
    for script, options in (
        ('tools/test.py', [first]),
        ('tools/train.py', []),
    ):
        args = [CONFIG, *options, '--work-dir', 'compared', '--cfg-options']
        args += [*SMALL, other, 'load_from=first/iter_4.pth']
        with pytest.raises(
            ValueError,
            match=r"text_injector\.type: 'LayerwiseProjection' in the "
            "checkpoint, 'EndToEndProjection' in the config",
        ):
            call_tool(script, folder, *args)
    options = [first, '--allow-other-settings', '--work-dir', 'compared']
    options += ['--cfg-options', *SMALL, other]
    assert 'mIoU' in call_tool('tools/test.py', folder, CONFIG, *options)
    start = ['load_from=first/iter_4.pth', 'model.decode_head.num_heads=2']
    train(folder, 'started', *start, steps=1)
    (log,) = (folder / 'started').glob('*/*.log')
    assert log.read_text().count('decode_head.num_heads: 4 in the') == 1


def test_a_trained_folder_works_from_anywhere(folder, tmp_path, monkeypatch):
    from mmdit.apis import ReferringSegInferencer

    moved = tmp_path / 'moved'
    shutil.copytree(folder / 'first', moved)
    config = moved / CONFIG.name
    before = config.read_bytes()
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (image,) = (
        list(folder.rglob('*.png'))[:1] or list(folder.rglob('*.jpg'))[:1]
    )
    monkeypatch.chdir(elsewhere)
    for model in (moved, config):
        weights = None if model == moved else moved / 'iter_4.pth'
        result = ReferringSegInferencer(str(model), weights, 'cpu')(
            str(image), 'the red star'
        )
        assert len(result['predictions']) == 1
    data = folder / 'data/synthref'
    printed = call_tool(
        *('tools/test.py', elsewhere, config, moved / 'iter_4.pth'),
        *('--work-dir', moved, '--cfg-options'),
        f'test_dataloader.dataset.data_root={data}',
        'model.decode_head.threshold=0.6',
    )
    assert 'mIoU' in printed
    # What the test overrides is none of the training's.
    assert config.read_bytes() == before


@pytest.fixture(scope='module')
def mini(refer_mini, tmp_path_factory):
    """A copy of the real items that small models can add files to."""
    folder = tmp_path_factory.mktemp('mini')
    shutil.copytree(refer_mini, folder / 'data/refer_mini')
    for path in folder.rglob('*'):
        path.chmod(0o755)
    return folder


@pytest.fixture(scope='module')
def real_vocab(mini):
    """A vocabulary of the real expressions."""
    vocab = 'data/refer_mini/vocab.txt'
    call_mmdit(mini, 'build-vocab', 'data/refer_mini', vocab)
    return mini / vocab


# Expressions of the first photo, of one thing each.
FOUR = (0, 2, 5, 8)


def test_a_small_ldit_overfits_real_items(mini, real_vocab, monkeypatch):
    """Without its text it would find one thing of four, whatever it learns."""
    monkeypatch.chdir(mini)
    init_default_scope('mmdit')
    cfg = Config.fromfile(Path(__file__).with_name('overfit_config.py'))
    cfg.model.data_preprocessor.size = (64, 64)
    cfg.model.backbone.img_size = 64
    cfg.model.backbone.arch.depth = 2
    batches = []
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (64, 64)
        dataset = DATASETS.build(loader.dataset)
        batches.append(pseudo_collate([dataset[i] for i in FOUR]))
    assert len({s.img_path for s in batches[1]['data_samples']}) == 1
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for step in range(150):
        for group in wrapper.optimizer.param_groups:
            group['lr'] = 1.5e-3 * min(1, (step + 1) / 10)
        model.train_step(batches[0], wrapper)
    ious = []
    for sample in model.eval().val_step(batches[1]):
        masks = sample.pred_sem_seg, sample.gt_sem_seg
        found, truth = (mask.data.bool() for mask in masks)
        ious.append(float((found & truth).sum() / (found | truth).sum()))
    assert min(ious) >= 0.5 and sum(ious) / len(ious) >= 0.7, ious


@pytest.fixture(scope='module')
def full_size(mini, real_vocab):
    """L-DIT on ViT-B at its full size, random weights, and its options."""
    options = dict(
        _delete_=True,
        type='BertTextEncoder',
        config=dict(num_hidden_layers=2),
        vocab_file=str(real_vocab),
    )
    name = 'ldit_sam-vit-b_4xb16-40e_refcoco-512x512.py'
    config = mini / name
    config.write_text(
        f"_base_ = '{ROOT}/configs/dit/{name}'\n"
        f'model = dict(text_encoder={options})\n'
    )
    init_default_scope('mmdit')
    model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict()), mini / 'random.pth')
    return config


def test_the_full_size_model_runs_on_real_items(mini, full_size):
    test_set = 'test_dataloader.dataset'
    call_tool(
        *('tools/test.py', mini, full_size, mini / 'random.pth'),
        *('--work-dir', 'full', '--out', 'rows.csv', '--cfg-options'),
        *(f'{test_set}.data_root=data/refer_mini/',),
        *(f'{test_set}.name=refcocog', f'{test_set}.split_by=google'),
        *(f'{test_set}.split=val', f'{test_set}.indices=1'),
        *('test_dataloader.batch_size=1', 'test_dataloader.num_workers=0'),
    )
    assert len((mini / 'rows.csv').read_text().splitlines()) == 1 + 1
