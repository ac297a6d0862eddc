"""SAM's prompt encoder and mask decoder as a head for one expression.

Shapes: B images with one expression each, L text tokens, D text width,
P points (a box is two), M masks, T decoder width, H x W grid of the image
features.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmdit.deprecation import renamed
from mmdit.registry import MODELS

# Parts of SAM that decoding a single mask never reads, or reads for points,
# boxes and previous masks only. They keep SAM's weights but do not train, so
# that DDP finds every trainable parameter.
POINT_PARTS = (
    'prompt_encoder.point_embeddings',
    'prompt_encoder.not_a_point_embed',
)
MASK_PARTS = ('prompt_encoder.mask_downscaling',)
UNUSED_PARTS = (
    'mask_decoder.output_hypernetworks_mlps.1',
    'mask_decoder.output_hypernetworks_mlps.2',
    'mask_decoder.output_hypernetworks_mlps.3',
    'mask_decoder.iou_prediction_head',
)


@MODELS.register_module()
class SAMMaskHead(BaseModule):
    """Decode a mask from image features and text, points, boxes or a mask.

    Text is projected to SAM's sparse prompts (REFERENCE: Linear(D -> T)),
    a previous mask is SAM's dense prompt; the first mask token gives the
    single mask.

    Args:
        text_dims: Width D of the text tokens, None without a text encoder.
            Filled in by the segmentor.
        embed_dims: Decoder width T, equal to the features' channels.
        num_layers: Depth of the two-way transformer. Layers beyond SAM's two
            start from random weights (the paper's "+2/4 decoder layers").
        num_heads: Heads of its attention.
        mlp_dims: Hidden width of its MLPs.
        mask_in_channels: Channels of SAM's mask prompt encoder.
        train_points: Whether SAM's embeddings of points and boxes train; every
            training item then needs such a prompt (``SamplePrompts``), be it
            padding.
        train_masks: Whether SAM's embedding of a previous mask trains; a
            segmentor with ``refinement_clicks`` gives one.
        multimask_output: Predict SAM's three masks, for prompts that may mean
            several things, instead of the single one.
        threshold: A pixel belongs to the mask where its probability exceeds
            this.
        align_corners: How logits are upsampled; the authors use True, SAM
            itself False.
        loss_decode: Config of one MMSegmentation loss or a list of them, as
            its decode heads take it; each is given logits (B, 1, h, w) and
            labels (B, h, w).
        init_cfg: MMEngine's initialization config.
    """

    @renamed(multimask='multimask_output')
    def __init__(
        self,
        text_dims: int | None = 768,
        embed_dims: int = 256,
        num_layers: int = 2,
        num_heads: int = 8,
        mlp_dims: int = 2048,
        mask_in_channels: int = 16,
        train_points: bool = False,
        train_masks: bool = False,
        multimask_output: bool = False,
        threshold: float = 0.35,
        align_corners: bool = False,
        loss_decode: dict | list[dict] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        try:
            from segment_anything.modeling import (
                MaskDecoder,
                PromptEncoder,
                TwoWayTransformer,
            )
        except ImportError as error:
            raise ImportError(
                f'SAMMaskHead could not import segment_anything ({error}); '
                'run: pip install segment-anything, with a torch and '
                'torchvision that belong together (pip install torch '
                'torchvision)'
            ) from error
        self.embed_dims = embed_dims
        self.num_heads = num_heads
        self.threshold = threshold
        self.align_corners = align_corners
        self.train_points = train_points
        self.train_masks = train_masks
        self.multimask_output = multimask_output
        self.text_proj: nn.Linear | None = None
        if text_dims is not None:
            self.text_proj = nn.Linear(text_dims, embed_dims)
        # The sizes given here are those of images that PromptEncoder embeds
        # itself; it does not do so here.
        self.prompt_encoder = PromptEncoder(
            embed_dim=embed_dims,
            image_embedding_size=(64, 64),
            input_image_size=(1024, 1024),
            mask_in_chans=mask_in_channels,
        )
        self.mask_decoder = MaskDecoder(
            transformer_dim=embed_dims,
            transformer=TwoWayTransformer(
                depth=num_layers,
                embedding_dim=embed_dims,
                num_heads=num_heads,
                mlp_dim=mlp_dims,
            ),
            iou_head_hidden_dim=embed_dims,
        )
        for parts, train in (
            (POINT_PARTS, train_points),
            (MASK_PARTS, train_masks),
            (UNUSED_PARTS, False),
        ):
            for part in parts:
                self.get_submodule(part).requires_grad_(train)
        if loss_decode is None:
            loss_decode = dict(
                type='mmseg.CrossEntropyLoss',
                use_sigmoid=True,
                loss_name='loss_mask',
            )
        if isinstance(loss_decode, dict):
            loss_decode = [loss_decode]
        self.loss_decode = nn.ModuleList(
            MODELS.build(loss) for loss in loss_decode
        )

    def forward(
        self,
        feats: tuple[Tensor, ...],
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        masks: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Decode low-resolution logits.

        Args:
            feats: Feature maps of the backbone; the last, (B, T, H, W), is
                decoded.
            text: (B, L, D) text tokens.
            text_mask: (B, L) bool. Padded positions become SAM's own padding
                token; None decodes them like words, as the authors do.
            points: (B, P, 2) x and y, 0 to 1 over the padded input.
            labels: (B, P) SAM's labels: 1 and 0 for points inside and
                outside, 2 and 3 for a box's corners, -1 for padding.
            masks: B previous masks, each (1, 4H, 4W) logits of an earlier
                decoding, or None.

        Returns:
            (B, 1, 4H, 4W) logits.
        """
        sparse = self._embed_sparse(feats[-1], text, text_mask, points, labels)
        return self.decode(
            feats[-1], sparse, self._embed_masks(feats[-1], masks)
        )

    def predict_masks(
        self,
        feats: tuple[Tensor, ...],
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        masks: Sequence[Tensor | None] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode as :meth:`forward`, one mask or three, and rate each.

        Returns:
            (B, M, 4H, 4W) logits and (B, M) SAM's predictions of each mask's
            IoU; M is 3 with ``multimask_output``, else 1.
        """
        sparse = self._embed_sparse(feats[-1], text, text_mask, points, labels)
        tokens, image = self._run_decoder(
            feats[-1], sparse, self._embed_masks(feats[-1], masks)
        )
        chosen = (1, 2, 3) if self.multimask_output else (0,)
        scores = self.mask_decoder.iou_prediction_head(tokens[:, 0])
        return self._masks(tokens, image, chosen), scores[:, chosen]

    def _embed_sparse(
        self,
        image: Tensor,
        text: Tensor | None,
        text_mask: Tensor | None,
        points: Tensor | None,
        labels: Tensor | None,
    ) -> Tensor:
        """Join the embeddings of text and points, (B, L + P, T)."""
        sparse = [image.new_zeros(image.shape[0], 0, self.embed_dims)]
        if text is not None:
            sparse.append(self._embed_text(text, text_mask))
        if points is not None and labels is not None:
            sparse.append(self._embed_points(points, labels))
        return torch.cat(sparse, dim=1)

    def _embed_text(self, text: Tensor, mask: Tensor | None) -> Tensor:
        """Project (B, L, D) text to (B, L, T) sparse prompts."""
        assert self.text_proj is not None
        sparse = self.text_proj(text)
        if mask is not None:
            padding = self.prompt_encoder.not_a_point_embed.weight
            sparse = torch.where(mask[..., None], sparse, padding)
        return sparse

    def _embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Embed (B, P, 2) points and their labels as (B, P, T).

        ``PromptEncoder`` does the same, for images of one fixed size.
        """
        encoder = self.prompt_encoder
        kinds = torch.cat(
            [encoder.not_a_point_embed.weight]
            + [kind.weight for kind in encoder.point_embeddings]
        )
        with torch.autocast(points.device.type, enabled=False):
            place = encoder.pe_layer.forward_with_coords(
                points.float(), (1, 1)
            )
        place = torch.where((labels == -1)[..., None], 0, place)
        return place + kinds[labels + 1]

    def _embed_masks(
        self, image: Tensor, masks: Sequence[Tensor | None] | None
    ) -> Tensor | None:
        """Embed B masks (1, 4H, 4W), some of them None, as (B, T, H, W)."""
        given = [mask for mask in masks or () if mask is not None]
        if masks is None or not given:
            return None
        expected = (1, *(4 * side for side in image.shape[-2:]))
        for mask in given:
            if mask.shape != expected:
                raise ValueError(
                    f'expected previous masks of shape {expected}, got '
                    f'{tuple(mask.shape)}: give the low-resolution logits of '
                    'an earlier prediction of the same image'
                )
        embedded = self.prompt_encoder.mask_downscaling(torch.stack(given))
        absent = self.prompt_encoder.no_mask_embed.weight[..., None, None]
        absent = absent.expand_as(embedded[:1])[0]
        rest = iter(embedded)
        return torch.stack(
            [absent if mask is None else next(rest) for mask in masks]
        )

    def decode(
        self, image: Tensor, sparse: Tensor, dense: Tensor | None = None
    ) -> Tensor:
        """Run SAM's decoder on B images with one prompt set each.

        Args:
            image: (B, T, H, W) image features.
            sparse: (B, P, T) sparse prompt embeddings.
            dense: (B, T, H, W) dense prompt embeddings, None without any.

        Returns:
            (B, 1, 4H, 4W) logits of the first mask token.
        """
        return self._masks(*self._run_decoder(image, sparse, dense), (0,))

    def _run_decoder(
        self, image: Tensor, sparse: Tensor, dense: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the tokens (B, 5 + P, T) and the image (B, T/8, 4H, 4W).

        ``MaskDecoder.forward`` takes one image with B prompt sets, so its
        parts are called here. Token 0 is for the IoU, 1 to 4 for masks.
        """
        batch, channels, *grid = image.shape
        if channels != self.embed_dims:
            raise ValueError(
                f'expected features of {self.embed_dims} channels, got '
                f'{channels}; embed_dims of SAMMaskHead must equal '
                'out_channels of the backbone'
            )
        decoder = self.mask_decoder
        tokens = torch.cat(
            [decoder.iou_token.weight, decoder.mask_tokens.weight]
        )
        tokens = torch.cat([tokens.expand(batch, -1, -1), sparse], dim=1)
        if dense is None:
            dense = self.prompt_encoder.no_mask_embed.weight[..., None, None]
        # Sines of large arguments: half precision would not do.
        with torch.autocast(image.device.type, enabled=False):
            positions = self.prompt_encoder.pe_layer(tuple(grid))[None]
        tokens, image = decoder.transformer(image + dense, positions, tokens)
        image = image.transpose(1, 2).unflatten(2, grid)
        return tokens, decoder.output_upscaling(image)

    def _masks(
        self, tokens: Tensor, image: Tensor, chosen: Sequence[int]
    ) -> Tensor:
        """Return (B, M, 4H, 4W) logits of the chosen mask tokens."""
        networks = self.mask_decoder.output_hypernetworks_mlps
        weights = torch.stack(
            [networks[i](tokens[:, 1 + i]) for i in chosen], dim=1
        )
        return torch.einsum('bmc,bchw->bmhw', weights, image)

    def upsample(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize (B, M, 4H, 4W) logits to (B, M, *size), bilinear.

        In float32 or better, and so is what follows: losses and masks.
        """
        if logits.element_size() < 4:
            logits = logits.float()
        return F.interpolate(
            logits,
            size=size,
            mode='bilinear',
            align_corners=self.align_corners,
        )

    def loss(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Compare logits (B, 1, 4H, 4W) with labels (B, h, w) of 0 and 1.

        Returns:
            One scalar per loss, summed where two share a name.
        """
        logits = self.upsample(logits, (labels.shape[-2], labels.shape[-1]))
        losses: dict[str, Tensor] = {}
        for loss in self.loss_decode:
            value = loss(logits, labels)
            name = str(loss.loss_name)
            losses[name] = losses[name] + value if name in losses else value
        return losses

    def predict(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Return logits (B, M, *size) at the size of the model's input."""
        return self.upsample(logits, size)
