"""Wiring of text encoder, image encoder and head; nothing else.

Shapes: B images with one expression each, h x w padded input.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmengine.structures import InstanceData, PixelData
from mmseg.models import BaseSegmentor
from mmseg.models.utils import resize
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmdit.checkpoints.strict import adapt_state_dict, check_state_dict
from mmdit.deprecation import renamed
from mmdit.models.layers import find_distinct, give_each
from mmdit.registry import MODELS, build_part

from .clicks import simulate_click
from .features import FeatureCache
from .stacking import count_points, previous_masks, stack_points


@MODELS.register_module()
class ReferringSegmentor(BaseSegmentor):
    """Segment what an expression refers to, or points and boxes show.

    Args:
        text_encoder: Config of a text encoder such as
            :class:`BertTextEncoder`. None is SAM without text: the pipeline
            must then give points or boxes (``SamplePrompts``).
        backbone: Config of the image encoder: :class:`SAMViT`, or any MM
            backbone if text is to reach the head only.
        decode_head: Config of the head, such as :class:`SAMMaskHead`.
        data_preprocessor: Config of the data preprocessor.
        refinement_clicks: Number of simulated clicks on errors of each
            training item's mask. After each, the head decodes again, with all
            points and its own logits, and each mask has its losses.
        threshold_first: Make masks as the authors' evaluation does: threshold
            at the size of the model's input, resize the 0/1 mask (bilinear)
            and keep every pixel above 0. That dilates masks: 2.4 to 3.2 %
            more pixels, which costs 1 to 1.5 points of mIoU and oIoU on real
            masks. For comparisons with their tables.
        init_cfg: MMEngine's initialization config, for instance
            ``dict(type='mmdit.SAMPretrained', checkpoint=...)``.
    """

    # A checkpoint fills it completely or is an error.
    loads_strictly = True

    @renamed(corrections='refinement_clicks')
    def __init__(
        self,
        text_encoder: dict | None,
        backbone: dict,
        decode_head: dict,
        data_preprocessor: dict | None = None,
        refinement_clicks: int = 0,
        threshold_first: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.text_encoder: nn.Module | None = None
        text_dims: dict = dict(text_dims=None)
        if text_encoder is not None:
            self.text_encoder = build_part(text_encoder)
            text_dims = dict(text_dims=self.text_encoder.embed_dims)
        has_injector = backbone.get('text_injector') is not None
        if has_injector and text_encoder is None:
            raise ValueError(
                'a text_injector needs a text_encoder, got None; configure '
                'one or set text_injector=None'
            )
        self.backbone = build_part(
            backbone, default_args=text_dims if has_injector else None
        )
        self.refinement_clicks = refinement_clicks
        self.threshold_first = threshold_first
        #: Keeps none, unless ``max_bytes`` is set.
        self.features = FeatureCache()
        if refinement_clicks:
            _check_clicks(refinement_clicks, decode_head)
            text_dims['train_masks'] = True
        self.decode_head = build_part(decode_head, default_args=text_dims)
        self.align_corners = self.decode_head.align_corners
        self.train_points = getattr(self.decode_head, 'train_points', False)
        # Keys of SAM or of the authors are renamed. MMEngine only warns about
        # keys that do not match when it loads a checkpoint, and would then
        # score a model that is partly random.
        self.register_load_state_dict_pre_hook(adapt_state_dict)
        self.register_load_state_dict_pre_hook(check_state_dict)
        self.register_load_state_dict_pre_hook(_forget_features)

    def train(self, mode: bool = True) -> 'ReferringSegmentor':
        """Forget features, which may be of other weights."""
        self.features.clear()
        return super().train(mode)

    def extract_feat(
        self,
        inputs: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, ...]:
        """Encode (M, 3, h, w) images, guided by (B, L, D) text.

        Args:
            inputs: Images.
            text: Read by an encoder with text, and by no other.
            text_mask: (B, L) bool, likewise.
            kwargs: ``owner`` and ``keep`` of :class:`SAMViT`, likewise.
        """
        _check_sides(inputs, self.backbone)
        if getattr(self.backbone, 'text_injector', None) is None:
            return self.backbone(inputs)
        return self.backbone(inputs, text, text_mask, **kwargs)

    def _forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
    ) -> Tensor:
        """Return low-resolution logits (B, 1, 4H, 4W)."""
        samples = data_samples or []
        encoded = self._encode(inputs, samples)
        return self.decode_head(*encoded, *self._prompts(inputs, samples))

    def _encode(
        self, inputs: Tensor, samples: Sequence[SegDataSample]
    ) -> tuple[tuple[Tensor, ...], Tensor | None, Tensor | None]:
        """Return features of the images, tokens and mask of the text."""
        if self.text_encoder is None or (self.training and self.train_points):
            _check_prompts(samples)
        text, text_mask = None, None
        if self.text_encoder is not None:
            text, text_mask = self.text_encoder(_expressions(samples))
        feats = self._encode_images(inputs, text, text_mask)
        return feats, text, text_mask

    def _encode_images(
        self, inputs: Tensor, text: Tensor | None, text_mask: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Encode images, computing once what several expressions share.

        Expressions of an image follow each other in testing. Without text in
        the encoder they share all of it, else what comes before the text;
        patches alone are not worth a search in training, nor keeping.
        """
        injector = getattr(self.backbone, 'text_injector', None)
        has_trunk = injector is not None and injector.first_block > 0
        if self.training and not has_trunk:
            return self.extract_feat(inputs, text, text_mask)
        distinct, owner = find_distinct(inputs)
        keep = partial(self.features.encode, encoder=self.backbone)
        if injector is None:
            feats = keep(distinct, self.extract_feat)
            return tuple(give_each(f, len(inputs), owner) for f in feats)
        return self.extract_feat(
            distinct,
            text,
            text_mask,
            owner=owner,
            keep=keep if has_trunk else None,
        )

    def _prompts(
        self, inputs: Tensor, samples: Sequence[SegDataSample]
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor | None]]:
        """Return points (B, P, 2), their labels (B, P), and B masks."""
        # A point and padding, or a box: what training gives is two, and an
        # item without prompts is two times padding there.
        at_least = 2 if self.train_points and self.text_encoder else 0
        points, labels = stack_points(samples, inputs, at_least)
        return points, labels, previous_masks(samples)

    def loss(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample]
    ) -> dict[str, Tensor]:
        """Return the head's losses over the padded input.

        Those of the mask after the n-th click are called ``click<n>.*``.
        """
        gt = torch.cat([s.gt_sem_seg.data for s in data_samples]).long()
        encoded = self._encode(inputs, data_samples)
        points, labels, masks = self._prompts(inputs, data_samples)
        logits = self.decode_head(*encoded, points, labels, masks)
        losses = self.decode_head.loss(logits, gt)
        for n in range(1, self.refinement_clicks + 1):
            assert points is not None and labels is not None
            point, label = simulate_click(self._binary(inputs, logits), gt > 0)
            points = torch.cat([points, point], dim=1)
            labels = torch.cat([labels, label], dim=1)
            masks = list(logits.detach())
            logits = self.decode_head(*encoded, points, labels, masks)
            for name, value in self.decode_head.loss(logits, gt).items():
                losses[f'click{n}.{name}'] = value
        return losses

    @torch.no_grad()
    def _binary(self, inputs: Tensor, logits: Tensor) -> Tensor:
        """Threshold logits (B, 1, 4H, 4W) at the size of the input."""
        height, width = inputs.shape[-2:]
        large = self.decode_head.predict(logits, (height, width))[:, 0]
        return large.sigmoid() > self.decode_head.threshold

    def encode_decode(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample]
    ) -> Tensor:
        """Return logits (B, M, h, w) at the size of the padded input."""
        logits, _ = self._rated_masks(inputs, data_samples)
        height, width = inputs.shape[-2:]
        return self.decode_head.predict(logits, (height, width))

    def _rated_masks(
        self, inputs: Tensor, samples: Sequence[SegDataSample]
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, M, 4H, 4W) and their predicted IoU (B, M).

        Items of as many points are decoded together: padding would change
        the result.
        """
        feats, text, text_mask = self._encode(inputs, samples)
        groups: dict[int, list[int]] = {}
        for i, sample in enumerate(samples):
            groups.setdefault(count_points(sample), []).append(i)
        decoded = [
            self.decode_head.predict_masks(
                tuple(feat[chosen] for feat in feats),
                text if text is None else text[chosen],
                text_mask if text_mask is None else text_mask[chosen],
                *self._prompts(inputs, [samples[i] for i in chosen]),
            )
            for chosen in groups.values()
        ]
        order = torch.tensor(sum(groups.values(), [])).argsort()
        logits = torch.cat([logits for logits, _ in decoded])
        scores = torch.cat([scores for _, scores in decoded])
        return logits[order], scores[order]

    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Fill in the prediction of each image at its original size (H0, W0).

        Returns:
            The data samples with

            - ``seg_logits`` (1, H0, W0): the probabilities that were
              thresholded, as in MMSegmentation's one-channel case;
            - ``pred_sem_seg`` (1, H0, W0): the mask, of several the one with
              the highest score;
            - ``pred_masks``: all M masks, ``masks`` (M, H0, W0) bool, their
              ``scores`` (M,), SAM's predictions of the IoU, and the
              ``low_res_masks`` (M, 4H, 4W), of which one may be the
              ``mask_input`` of the next prediction.
        """
        samples = list(data_samples or [])
        logits, scores = self._rated_masks(inputs, samples)
        # As an index on the device: nothing waits for it.
        best = scores.argmax(dim=1, keepdim=True)
        for i, sample in enumerate(samples):
            probabilities = self.restore(logits[i], sample).sigmoid()
            masks = probabilities > self.decode_head.threshold
            if self.threshold_first:
                masks = self._restore_thresholded(logits[i], sample)
            chosen = probabilities.index_select(0, best[i])
            sample.seg_logits = PixelData(data=chosen)
            sample.pred_sem_seg = PixelData(
                data=masks.index_select(0, best[i]).to(chosen)
            )
            sample.pred_masks = InstanceData(
                masks=masks, scores=scores[i], low_res_masks=logits[i]
            )
        return samples

    def restore(self, logits: Tensor, sample: SegDataSample) -> Tensor:
        """Bring (M, 4H, 4W) logits to the original image, (M, H0, W0)."""
        return resize(
            self._unpad(logits, sample),
            size=sample.ori_shape,
            mode='bilinear',
            align_corners=self.align_corners,
            warning=False,
        )[0]

    def _restore_thresholded(
        self, logits: Tensor, sample: SegDataSample
    ) -> Tensor:
        """Return (M, H0, W0) masks of (M, 4H, 4W) logits, dilated."""
        probabilities = self._unpad(logits, sample).sigmoid()
        masks = (probabilities > self.decode_head.threshold).float()
        masks = resize(
            masks, size=sample.ori_shape, mode='bilinear', warning=False
        )
        return masks[0] > 0

    def _unpad(self, logits: Tensor, sample: SegDataSample) -> Tensor:
        """Upsample (M, 4H, 4W) logits to the input, (1, M, h, w) of it.

        Those of a mirrored image (``flip`` of the metainfo) are turned back.
        """
        size = height, width = sample.batch_input_shape
        logits = self.decode_head.predict(logits[None], size)
        left, right, top, bottom = sample.padding_size
        logits = logits[:, :, top : height - bottom, left : width - right]
        return logits.flip(-1) if sample.get('flip') else logits


def _forget_features(model: ReferringSegmentor, *_: Any) -> None:
    """Forget what was computed with the weights before."""
    model.features.clear()


def _check_clicks(clicks: int, decode_head: dict) -> None:
    """Reject a negative number, and clicks that the head cannot learn."""
    if clicks < 0:
        raise ValueError(f'refinement_clicks must be 0 or more, got {clicks}')
    if not decode_head.get('train_points'):
        raise ValueError(
            f'refinement_clicks={clicks} gives points to a head that does not '
            'train with them: set train_points=True of decode_head, with '
            'SamplePrompts in the pipeline'
        )


def _check_sides(inputs: Tensor, backbone: nn.Module) -> None:
    """Reject sides at which masks would not lie on the image.

    An encoder pads to whole patches; nobody here takes that off again.
    """
    side = getattr(backbone, 'patch_size', 1)
    height, width = inputs.shape[-2:]
    if isinstance(side, int) and (height % side or width % side):
        raise ValueError(
            f'expected an image whose sides are multiples of the patch '
            f'({side} px), got {height} x {width}; set size of the data '
            'preprocessor accordingly'
        )


def _check_prompts(samples: Sequence[SegDataSample]) -> None:
    """Reject data samples without points, box or previous mask."""
    given = sum('prompts' in s or 'mask_input' in s for s in samples)
    if not samples or given < len(samples):
        raise ValueError(
            f'{given} of {len(samples)} data samples have prompts, expected '
            'all: SamplePrompts in the pipeline puts them there'
        )


def _expressions(data_samples: Sequence[SegDataSample]) -> list[str | None]:
    """Read the expression of every data sample, None where it has none."""
    if not data_samples or any(
        'expression' not in sample for sample in data_samples
    ):
        raise ValueError(
            'ReferringSegmentor needs data samples with an expression in '
            'their metainfo; PackReferSegInputs puts it there'
        )
    return [sample.expression for sample in data_samples]
