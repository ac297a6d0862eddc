"""Wiring of text encoder, image encoder and head; nothing else.

Shapes: B images with one expression each, h x w padded input.
"""

from collections.abc import Sequence

import torch
from mmseg.models import BaseSegmentor
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from mmdit.checkpoints.strict import adapt_state_dict, check_state_dict
from mmdit.registry import MODELS


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
        init_cfg: MMEngine's initialisation config, for instance
            ``dict(type='mmdit.SAMPretrained', checkpoint=...)``.
    """

    def __init__(
        self,
        text_encoder: dict | None,
        backbone: dict,
        decode_head: dict,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.text_encoder: nn.Module | None = None
        text_dims: dict = dict(text_dims=None)
        if text_encoder is not None:
            self.text_encoder = MODELS.build(text_encoder)
            text_dims = dict(text_dims=self.text_encoder.embed_dims)
        has_injector = backbone.get('text_injector') is not None
        if has_injector and text_encoder is None:
            raise ValueError(
                'a text_injector needs a text_encoder, got None; configure '
                'one or set text_injector=None'
            )
        self.backbone = MODELS.build(
            backbone, default_args=text_dims if has_injector else None
        )
        self.decode_head = MODELS.build(decode_head, default_args=text_dims)
        self.align_corners = self.decode_head.align_corners
        # Keys of SAM or of the authors are renamed. MMEngine only warns about
        # keys that do not match when it loads a checkpoint, and would then
        # score a model that is partly random.
        self.register_load_state_dict_pre_hook(adapt_state_dict)
        self.register_load_state_dict_pre_hook(check_state_dict)

    def extract_feat(
        self,
        inputs: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Encode (B, 3, h, w) images, guided by (B, L, D) text."""
        if getattr(self.backbone, 'text_injector', None) is None:
            return self.backbone(inputs)
        return self.backbone(inputs, text, text_mask)

    def _forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
    ) -> Tensor:
        """Return low-resolution logits (B, 1, 4H, 4W)."""
        text, text_mask = None, None
        if self.text_encoder is not None:
            text, text_mask = self.text_encoder(_expressions(data_samples))
        points, labels = self._prompts(inputs, data_samples or [])
        feats = self.extract_feat(inputs, text, text_mask)
        return self.decode_head(feats, text, text_mask, points, labels)

    def _prompts(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return points (B, P, 2), 0 to 1 over the input, and labels."""
        with_prompts = [s.prompts for s in data_samples if 'prompts' in s]
        if not with_prompts or len(with_prompts) < len(data_samples):
            if with_prompts or self._needs_prompts():
                raise ValueError(
                    f'{len(with_prompts)} of {len(data_samples)} data samples '
                    'have prompts, expected all: SamplePrompts in the '
                    'pipeline puts them there'
                )
            return None, None
        height, width = inputs.shape[-2:]
        points = pad_sequence([p.points for p in with_prompts], True)
        labels = pad_sequence(
            [p.labels for p in with_prompts], True, padding_value=-1
        )
        # A pixel's centre lies half a pixel after its index.
        points = (points + 0.5) / points.new_tensor([width, height])
        return points.to(inputs.device), labels.to(inputs.device)

    def _needs_prompts(self) -> bool:
        """Tell whether an item without points or boxes is a mistake."""
        train_points = getattr(self.decode_head, 'train_points', False)
        return self.text_encoder is None or (self.training and train_points)

    def loss(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample]
    ) -> dict[str, Tensor]:
        """Return the head's losses over the padded input."""
        labels = torch.cat([s.gt_sem_seg.data for s in data_samples])
        return self.decode_head.loss(
            self._forward(inputs, data_samples), labels.long()
        )

    def encode_decode(
        self, inputs: Tensor, data_samples: Sequence[SegDataSample]
    ) -> Tensor:
        """Return logits (B, 1, h, w) at the size of the padded input."""
        height, width = inputs.shape[-2:]
        logits = self._forward(inputs, data_samples)
        return self.decode_head.predict(logits, (height, width))

    def predict(
        self,
        inputs: Tensor,
        data_samples: Sequence[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Fill in ``pred_sem_seg`` at the original size of each image.

        ``seg_logits`` holds the probabilities that were thresholded, as in
        MMSegmentation's one-channel case.
        """
        logits = self.encode_decode(inputs, data_samples or [])
        return self.postprocess_result(logits.float(), data_samples)


def _expressions(data_samples: Sequence[SegDataSample] | None) -> list[str]:
    """Read the expression of every data sample."""
    if not data_samples or any(
        'expression' not in sample for sample in data_samples
    ):
        raise ValueError(
            'ReferringSegmentor needs data samples with an expression in '
            'their metainfo; PackReferSegInputs puts it there'
        )
    return [sample.expression for sample in data_samples]
