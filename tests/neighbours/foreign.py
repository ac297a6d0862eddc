"""Train and predict with SAMViT in the real models of another project.

Run as a program, because a project may need stand-ins for what is not
installed: ``foreign.py PROJECT README_CONFIG SAM_FILE WORK_DIR``.
"""

import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset
from torchvision.ops import nms

WIDTH, DEPTH, DECODER = 16, 4, 32
# As ``make_sam`` of the tests makes them, so that its file fills it.
SMALL = dict(
    arch=dict(
        embed_dims=WIDTH, depth=DEPTH, num_heads=2, global_attn_indexes=(1,)
    ),
    img_size=256,
)
ALL_MAPS = dict(type='mmdit.SAMViT', out_indices=(0, 1, 2, 3))
ONE_MAP = dict(type='mmdit.SAMViT', out_channels=DECODER)
SIZE = (70, 88)  # no multiples of the patch


class Absent(types.ModuleType):
    """A package that is imported, and of which nothing may be called."""

    def __init__(self, name, **given):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__dict__.update(given)
        sys.modules[name] = self

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)

        def absent(*_, **__):
            raise NotImplementedError(f'{self.__name__}.{name}')

        return absent


def stand_in_for_packages():
    """Let MMDetection import what is not installed.

    MMCV's pure Python install has none of its operators: NMS, the one that is
    called here, is torchvision's. imgaug is for lines only.
    """
    Absent(
        'mmcv._ext',
        nms=lambda boxes, scores, iou_threshold, offset: nms(
            boxes, scores, iou_threshold
        ),
    )
    for name in ('imgaug', 'imgaug.augmentables', 'imgaug.augmenters'):
        Absent(name)
    for name in ('lines', 'segmaps'):
        Absent(f'imgaug.augmentables.{name}')


def leave_out_multimodal():
    """Let MMPreTrain skip models that a newer transformers breaks."""
    if importlib.util.find_spec('mmpretrain') is None:
        return
    from mmpretrain.utils import dependency

    dependency.WITH_MULTIMODAL = False


def mmseg_configs():
    heads = dict(channels=8, num_classes=3)
    four = dict(in_channels=[WIDTH] * 4, **heads)
    return {
        'README': dict(
            backbone=dict(out_indices=(0, 1, 2, 3)),
            neck=dict(in_channels=[WIDTH] * 4, out_channels=WIDTH),
            decode_head=four,
            auxiliary_head=dict(in_channels=WIDTH, **heads),
        ),
        # Four maps of one size become a pyramid.
        'fpn_r50.py': dict(
            backbone=ALL_MAPS | dict(with_cp=True),
            neck=[
                dict(
                    type='Feature2Pyramid',
                    embed_dim=WIDTH,
                    norm_cfg=dict(type='BN'),
                ),
                dict(
                    type='FPN',
                    in_channels=[WIDTH] * 4,
                    out_channels=WIDTH,
                    num_outs=4,
                ),
            ],
            decode_head=four,
        ),
        'pspnet_r50-d8.py': dict(
            backbone=ALL_MAPS | dict(frozen_stages=2),
            decode_head=dict(in_channels=WIDTH, **heads),
            auxiliary_head=dict(in_channels=WIDTH, **heads),
        ),
        # SAM's own neck, and a decoder of queries.
        'segmenter_vit-b16_mask.py': dict(
            backbone=ONE_MAP,
            decode_head=dict(
                in_channels=DECODER,
                channels=WIDTH,
                embed_dims=WIDTH,
                num_heads=2,
                num_classes=3,
            ),
            test_cfg=dict(crop_size=(64, 64), stride=(32, 32)),
        ),
        'fcn_r50-d8.py': dict(
            backbone=ALL_MAPS | dict(out_indices=(1, 3), frozen=True),
            decode_head=dict(in_channels=WIDTH, in_index=1, **heads),
            auxiliary_head=dict(in_channels=WIDTH, in_index=0, **heads),
        ),
    }


def mmdet_configs():
    neck = dict(
        in_channels=[DECODER],
        out_channels=WIDTH,
        start_level=0,
        num_outs=3,
    )
    roi = 'roi_head'
    return {
        'README': dict(
            backbone=dict(out_channels=DECODER),
            neck=neck,
            bbox_head=dict(in_channels=WIDTH, feat_channels=WIDTH),
        ),
        'faster-rcnn_r50_fpn.py': {
            'backbone': ONE_MAP,
            'neck': neck,
            'rpn_head': dict(
                in_channels=WIDTH,
                feat_channels=WIDTH,
                anchor_generator=dict(strides=[16, 32, 64]),
            ),
            roi: dict(
                bbox_roi_extractor=dict(
                    roi_layer=dict(use_torchvision=True),
                    out_channels=WIDTH,
                    featmap_strides=[16, 32, 64],
                ),
                bbox_head=dict(in_channels=WIDTH, fc_out_channels=WIDTH),
            ),
        },
    }


def mmpretrain_configs():
    head = dict(in_channels=DECODER, num_classes=5)
    return {
        'README': dict(backbone=dict(out_channels=DECODER), head=head),
        'resnet34_gem.py': dict(
            backbone=ONE_MAP | dict(frozen_stages=0), head=head
        ),
    }


def mmseg_item():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    meta = dict(img_shape=SIZE, ori_shape=SIZE, img_path='a.jpg')
    truth = PixelData(data=torch.randint(0, 3, (1, *SIZE)))
    return SegDataSample(metainfo=meta, gt_sem_seg=truth)


def mmdet_item():
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    meta = dict(
        img_shape=SIZE, ori_shape=SIZE, scale_factor=(1.0, 1.0), img_id=0
    )
    boxes = torch.tensor([[4.0, 5.0, 60.0, 50.0], [30.0, 10.0, 80.0, 66.0]])
    truth = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    return DetDataSample(
        metainfo=meta,
        gt_instances=truth,
        ignored_instances=InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long)
        ),
    )


def mmpretrain_item():
    from mmpretrain.structures import DataSample

    return DataSample().set_gt_label(2)


class Items(Dataset):
    """A few noisy images with a made truth."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)
        return dict(inputs=image, data_samples=self.make())


def load_config(project, name, readme, sizes, sam):
    """Return the real config with SAMViT in it, at small sizes."""
    base = Path(sys.modules[project].__file__).parent / '.mim/configs/_base_'
    if name == 'README':
        text = Path(readme).read_text().replace('../_base_', str(base))
        cfg = Config.fromstring(text, '.py')
        cfg.model.backbone.pop('arch')
    else:
        cfg = Config.fromfile(base / 'models' / name)
        cfg.model.pop('backbone')
        if isinstance(sizes.get('neck'), list):
            cfg.model.pop('neck')
        cfg.optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-3))
    cfg.model.pop('pretrained', None)
    backbone = {**SMALL, **sizes.get('backbone', {})}
    init_cfg = dict(type='mmdit.SAMPretrained', checkpoint=sam)
    merge = {**sizes, 'backbone': {**backbone, 'init_cfg': init_cfg}}
    neck = merge.pop('neck', None)
    if project == 'mmseg':
        merge['data_preprocessor'] = dict(size=SIZE)
    cfg.merge_from_dict(dict(model=merge))
    if isinstance(neck, list):
        cfg.model.neck = neck
    elif neck:
        cfg.merge_from_dict(dict(model=dict(neck=neck)))
    return cfg


def train_and_predict(cfg, project, item, work_dir):
    """Train two steps with the project's own classes, then predict."""

    init_default_scope(project)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    loader = DataLoader(Items(item), batch_size=2, collate_fn=pseudo_collate)
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=cfg.optim_wrapper,
        default_scope=project,
        experiment_name=work_dir.name,
        log_level='ERROR',
    )
    runner.train()
    filled = torch.load(cfg.model.backbone.init_cfg.checkpoint)
    key = 'blocks.0.mlp.lin1.weight'
    start = filled[f'image_encoder.{key}']
    moved = (model.backbone.state_dict()[key] - start).abs().max().item()
    model.eval()
    with torch.no_grad():
        predicted = model.test_step(next(iter(loader)))
    rates = {g['lr'] for g in runner.optim_wrapper.optimizer.param_groups}
    return dict(moved=moved, items=len(predicted), rates=len(rates))


def main():
    project, readme, sam, work_dir = sys.argv[1:]
    if project == 'mmdet':
        stand_in_for_packages()
    # MMDetection imports MMPreTrain where it is installed.
    leave_out_multimodal()
    importlib.import_module(project)
    importlib.import_module(f'{project}.models')
    configs = globals()[f'{project}_configs']()
    found = {}
    for name, sizes in configs.items():
        torch.manual_seed(0)
        cfg = load_config(project, name, readme, sizes, sam)
        place = Path(work_dir) / f'{project}-{name}'
        item = globals()[f'{project}_item']
        found[name] = train_and_predict(cfg, project, item, place)
    Path(work_dir, 'found.json').write_text(json.dumps(found))


if __name__ == '__main__':
    main()
