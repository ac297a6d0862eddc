"""How often the host waits for the device, counted on a CPU."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils._python_dispatch import TorchDispatchMode

from mmdit.evaluation import ReferIoUMetric
from mmdit.registry import MODELS

SIZES = [(20, 32), (32, 24), (32, 32)]
METHODS = ('cpu', 'numpy', 'tolist')
WAITING = ('_local_scalar_dense', 'nonzero', 'masked_select', 'unique')


class Transfers(TorchDispatchMode):
    """Note whatever would move data from a GPU to the host."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name.startswith(WAITING):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def transfers(monkeypatch):
    mode = Transfers()
    for name in METHODS:
        method = getattr(torch.Tensor, name)

        def noted(tensor, *args, name=name, method=method):
            mode.seen.append(name)
            return method(tensor, *args)

        monkeypatch.setattr(torch.Tensor, name, noted)
    return mode


def make_batch():
    samples = []
    for i, size in enumerate(SIZES):
        ori_shape = (2 * size[0], 2 * size[1])
        sample = SegDataSample(
            metainfo=dict(
                dict.fromkeys(('image_id', 'ref_id', 'ann_id', 'sent_id'), i),
                sample_idx=i,
                img_path=f'{i}.jpg',
                expression='red circle',
                img_shape=size,
                ori_shape=ori_shape,
            )
        )
        mask = (torch.rand(1, *ori_shape) < 0.3).to(torch.uint8)
        sample.gt_sem_seg = PixelData(data=mask)
        samples.append(sample)
    images = [torch.randint(256, (3, *size)).byte() for size in SIZES]
    return dict(inputs=images, data_samples=samples)


@pytest.mark.parametrize('multimask_output', [False, True])
def test_a_batch_is_predicted_and_scored_with_one_transfer(
    tiny_segmentor, transfers, multimask_output, monkeypatch
):
    tiny_segmentor['decode_head']['multimask_output'] = multimask_output
    model = MODELS.build(tiny_segmentor).eval()
    metric = ReferIoUMetric()
    # transformers looks once whether all tokens are real, before the image
    # encoder has anything to do.
    text = model.text_encoder(['red circle'] * len(SIZES))
    monkeypatch.setattr(model.text_encoder, 'forward', lambda _: text)
    with torch.no_grad(), transfers:
        batch = model.data_preprocessor(make_batch())
        samples = model(**batch, mode='predict')
        assert transfers.seen == []
        metric.process(None, [sample.to_dict() for sample in samples])
    assert transfers.seen == ['tolist']
    # Reads whatever was kept of each sample.
    assert 'mIoU' in metric.evaluate(len(SIZES))
