"""SAM's image encoder, with text tokens in its blocks.

Shapes: B batch, M images, L text tokens, H x W grid of patches, C width, D
text width.
Parameter names are those of ``image_encoder`` in SAM's checkpoints, so that
its weights load by prefix; what is added lives under ``text_injector``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdit.deprecation import renamed
from mmdit.models.injectors import TextInjector, build_injector
from mmdit.models.layers import (
    Block,
    LayerNorm2d,
    TableCache,
    fit_tables,
    give_each,
    resize_position,
    sine_cosine_table,
)
from mmdit.registry import MODELS

from .archs import resolve_arch, resolve_indices

NECK_CHANNELS = 256


class PatchEmbed(nn.Module):
    """Cut the image into patches and project each to C channels.

    ``proj`` is SAM's convolution, whose patches do not overlap: one linear
    layer over them. As such it is computed, because the channels of the
    tokens then lie side by side, where all that follows wants them.
    """

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int
    ) -> None:
        super().__init__()
        self.proj = nn.Conv2d(
            in_channels, embed_dims, kernel_size=patch_size, stride=patch_size
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, h, w) to (B, H, W, C)."""
        side = self.proj.kernel_size[0]
        # (B, 3, h, w) -> (B, 3, H, side, W, side) -> (B, H, W, 3, side, side)
        patches = x.unflatten(3, (-1, side)).unflatten(2, (-1, side))
        patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


@MODELS.register_module()
class SAMViT(BaseModule):
    """SAM's ViT as an MM backbone with optional text tokens in its blocks.

    Args:
        arch: 'base', 'large' or 'huge' as SAM's checkpoints, or a dict with
            ``embed_dims``, ``depth``, ``num_heads`` and, where windows are
            used, ``global_attn_indexes``, the blocks without windows.
        patch_size: Side of a patch in pixels.
        img_size: Side in pixels of the images that the position tables
            belong to; they are resized to any other input. Tables of other
            sizes are resized when weights are loaded.
        attention: 'all' lets every block attend over the whole image, as the
            authors run it at 512 px; 'windowed' keeps SAM's windows, with
            the text in every window. None: 'all' with a ``text_injector``,
            'windowed', which is SAM as published, without.
        attention_backend: How attention is computed; the numbers are the
            same. See :func:`mmdit.models.layers.attend`.
        window_size: Side of SAM's windows in tokens. It also sets the size
            of the relative tables of all blocks but the global ones, so it
            matters for ``attention='all'`` too. 0: no such blocks.
        mlp_ratio: Hidden width of the MLPs over C.
        in_channels: Channels of the input image.
        out_channels: Channels after SAM's neck, which follows the last block
            only: the maps of other blocks have C channels. 0 leaves the neck
            out. None: 256 where the last block alone is returned, else 0, so
            that all maps have C channels.
        out_indices: Blocks whose output is returned, in ascending order;
            negative ones count from the last. All maps have one size, the
            image's over the patch's. What no map depends on does not train.
        text_injector: Config of a :class:`TextInjector`, or None for plain
            SAM. The backbone fills in ``embed_dims``, ``depth`` and
            ``text_dims``. ``first_block`` in it is the first block that
            sees text: see :func:`mmdit.models.injectors.build_injector`.
        text_dims: Width D of the text. Filled in by the segmentor.
        frozen: Whether SAM's own parameters keep their values and stay in
            eval mode; the injector trains (the paper's rows marked *).
        frozen_stages: The same for the patches' embedding and so many of the
            first blocks. -1 freezes nothing.
        with_cp: Recompute each block in the backward pass to save memory.
        init_cfg: MMEngine's initialization config, for instance
            ``dict(type='mmdit.SAMPretrained', checkpoint=...)``.
    """

    @renamed(pretrain_size='img_size')
    def __init__(
        self,
        arch: str | dict = 'base',
        patch_size: int = 16,
        img_size: int = 1024,
        attention: str | None = None,
        attention_backend: str = 'auto',
        window_size: int = 14,
        mlp_ratio: float = 4.0,
        in_channels: int = 3,
        out_channels: int | None = None,
        out_indices: Sequence[int] = (-1,),
        text_injector: dict | None = None,
        text_dims: int = 768,
        frozen: bool = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        arch = resolve_arch(arch)
        embed_dims, depth = arch['embed_dims'], arch['depth']
        if attention is None:
            attention = 'all' if text_injector is not None else 'windowed'
        if attention not in ('all', 'windowed'):
            raise ValueError(
                f"attention must be 'all' or 'windowed', got {attention!r}"
            )
        self.embed_dims = embed_dims
        self.patch_size = patch_size
        self.attention = attention
        self.with_cp = with_cp
        self.out_indices = resolve_indices(out_indices, depth)

        grid_size = img_size // patch_size
        self.patch_embed = PatchEmbed(in_channels, embed_dims, patch_size)
        self.pos_embed = nn.Parameter(sine_cosine_table(grid_size, embed_dims))
        self._positions = TableCache()
        self.blocks = nn.ModuleList()
        global_blocks = arch.get('global_attn_indexes', ())
        for i in range(depth):
            is_global = not window_size or i in global_blocks
            self.blocks.append(
                Block(
                    embed_dims,
                    arch['num_heads'],
                    mlp_ratio,
                    table_size=grid_size if is_global else window_size,
                    window_size=(
                        0 if is_global or attention == 'all' else window_size
                    ),
                    backend=attention_backend,
                )
            )
        self.neck: nn.Module | None = None
        if out_channels is None:
            out_channels = (
                NECK_CHANNELS if self.out_indices[0] + 1 == depth else 0
            )
        if out_channels and depth - 1 in self.out_indices:
            self.neck = nn.Sequential(
                nn.Conv2d(embed_dims, out_channels, 1, bias=False),
                LayerNorm2d(out_channels),
                nn.Conv2d(
                    out_channels, out_channels, 3, padding=1, bias=False
                ),
                LayerNorm2d(out_channels),
            )
        if not -1 <= frozen_stages <= depth:
            raise ValueError(
                f'frozen_stages must lie within -1 and the {depth} blocks, '
                f'got {frozen_stages}'
            )
        self.frozen = frozen
        self.frozen_stages = frozen_stages
        self._freeze()
        self.text_injector: TextInjector | None = None
        if text_injector is not None:
            self.text_injector = build_injector(
                text_injector,
                embed_dims,
                depth,
                text_dims,
                last_block=self.out_indices[-1],
            )
        self.register_load_state_dict_pre_hook(_fit_positions)

    def _freeze(self) -> None:
        """Let nothing train that is frozen, or that no map depends on."""
        if self.frozen:
            self.requires_grad_(False)
        elif self.frozen_stages >= 0:
            self.pos_embed.requires_grad_(False)
            self._frozen_parts().requires_grad_(False)
        self.blocks[self.out_indices[-1] + 1 :].requires_grad_(False)

    def _frozen_parts(self) -> nn.ModuleList:
        """Return the parts that ``frozen_stages`` freezes."""
        if self.frozen_stages < 0:
            return nn.ModuleList()
        return nn.ModuleList(
            [self.patch_embed, *self.blocks[: self.frozen_stages]]
        )

    def get_layer_depth(
        self, param_name: str, prefix: str = ''
    ) -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths.

        As MMPreTrain defines it, for learning rates that decay by layer: 0
        for patches and positions, i + 1 for block i, and the last for all
        that follows the blocks, starts anew (injector) or is not below
        ``prefix``.
        """
        depths = len(self.blocks) + 2
        if not param_name.startswith(prefix):
            return depths - 1, depths
        name = param_name.removeprefix(prefix)
        if name.startswith(('pos_embed', 'patch_embed.')):
            return 0, depths
        if name.startswith('blocks.'):
            return int(name.split('.')[1]) + 1, depths
        return depths - 1, depths

    def train(self, mode: bool = True) -> 'SAMViT':
        """Keep what is frozen in eval mode, but not the injector."""
        self._positions.clear()
        super().train(mode and not self.frozen)
        self._frozen_parts().eval()
        if self.text_injector is not None:
            self.text_injector.train(mode)
        self.training = mode
        return self

    @property
    def first_block(self) -> int:
        """The number of blocks that see no text."""
        if self.text_injector is None:
            return self.out_indices[-1] + 1
        return self.text_injector.first_block

    def forward(
        self,
        x: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
        owner: Tensor | None = None,
        keep: Callable | None = None,
    ) -> tuple[Tensor, ...]:
        """Encode images, guided by text where there is an injector.

        The blocks before the first text run once per image, however many
        texts it has.

        Args:
            x: (M, 3, h, w) images. Right and below they are padded by 0 to
                multiples of the patch.
            text: (B, L, D) text tokens. Needed by the injector, and rejected
                without one.
            text_mask: (B, L) bool, False at tokens not to be attended; None
                attends to all, padding included, as the authors do.
            owner: (B,) index of each text's image. None: M is B, or a single
                image serves all texts.
            keep: Called as ``keep(x, encode)``, where ``encode(x)`` returns
                what follows from the images alone, a tuple of tensors, so
                that a cache may return it instead.

        Returns:
            One map (B, channels, H, W) per entry of ``out_indices``.
        """
        self._check_text(text)
        *maps, image = self.trunk(x) if keep is None else keep(x, self.trunk)
        if text is None or self.text_injector is None:
            return tuple(maps)
        text = self.text_injector.adapt(text)
        maps, (image,) = (
            [give_each(t, text.shape[0], owner) for t in tensors]
            for tensors in (maps, [image])
        )
        last = self.out_indices[-1] + 1
        *more, _ = self._run_blocks(
            range(self.first_block, last), image, text, text_mask
        )
        return (*maps, *more)

    def trunk(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run what does not depend on text on (M, 3, h, w) images.

        Returns:
            The maps of ``out_indices`` before the first block with text, and
            the tokens (M, H, W, C) that enter it.
        """
        image = self.patch_embed(_pad_to_patches(x, self.patch_size))
        image = image + self._positions.get(
            resize_position, self.pos_embed, image.shape[1:3]
        )
        return self._run_blocks(range(self.first_block), image)

    def _run_blocks(
        self,
        blocks: range,
        image: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Run some blocks on (B, H, W, C) tokens; all see (B, L, C) text.

        Returns:
            Those of their maps that are wanted, and the tokens after them.
        """
        prompt = text
        maps = []
        for i in blocks:
            update_text = False
            if self.text_injector is not None and text is not None:
                prompt = self.text_injector(
                    i - blocks.start, text, prompt, image, text_mask
                )
                update_text = (
                    self.text_injector.reads_prompt and i + 1 < blocks.stop
                )
            inputs = image, prompt, text_mask, update_text
            if self.with_cp and self.training:
                image, updated = checkpoint(
                    self.blocks[i], *inputs, use_reentrant=False
                )
            else:
                image, updated = self.blocks[i](*inputs)
            prompt = updated if update_text else text
            if i in self.out_indices:
                out = image.permute(0, 3, 1, 2)
                is_last = i + 1 == len(self.blocks)
                maps.append(self.neck(out) if self.neck and is_last else out)
        return (*maps, image)

    def _check_text(self, text: Tensor | None) -> None:
        """Reject text without an injector, and an injector without text."""
        if (text is None) != (self.text_injector is None):
            raise ValueError(
                'text given to a SAMViT without text_injector; configure one '
                'or leave the text out'
                if self.text_injector is None
                else 'SAMViT with a text_injector needs text, got None'
            )


def _pad_to_patches(x: Tensor, side: int) -> Tensor:
    """Pad (B, 3, h, w) right and below to multiples of a patch's side."""
    bottom, right = -x.shape[2] % side, -x.shape[3] % side
    return F.pad(x, (0, right, 0, bottom)) if right or bottom else x


def _fit_positions(
    model: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Resize position tables before they are loaded, and say so.

    Whoever demands equal shapes, as :class:`ReferringSegmentor` does, has
    checked them before.
    """
    resized = fit_tables(state_dict, model, prefix)
    if resized:
        print_log(
            f'resized positions to those of SAMViT: {"; ".join(resized)}',
            logger='current',
        )
