"""SAM's image encoder, with text tokens in every block.

Shapes: B batch, L text tokens, H x W grid of patches, C width, D text width.
Parameter names are those of ``image_encoder`` in SAM's checkpoints, so that
its weights load by prefix; what is added lives under ``text_injector``.
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmdit.deprecation import rename, renamed
from mmdit.models.injectors import TextInjector
from mmdit.models.layers import (
    Block,
    LayerNorm2d,
    TableCache,
    fit_tables,
    resize_position,
    sine_cosine_table,
)
from mmdit.registry import MODELS, build_part

ARCHS: dict[str, dict] = {
    name: dict(
        embed_dims=embed_dims,
        depth=depth,
        num_heads=num_heads,
        global_attn_indexes=indexes,
    )
    for name, embed_dims, depth, num_heads, indexes in (
        ('base', 768, 12, 12, (2, 5, 8, 11)),
        ('large', 1024, 24, 16, (5, 11, 17, 23)),
        ('huge', 1280, 32, 16, (7, 15, 23, 31)),
    )
}
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
            ``text_dims``.
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
        arch = _resolve_arch(arch)
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
        self.out_indices = _resolve_indices(out_indices, depth)

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
            _check_injector(text_injector)
            self.text_injector = build_part(
                text_injector,
                default_args=dict(
                    embed_dims=embed_dims, depth=depth, text_dims=text_dims
                ),
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

    def forward(
        self,
        x: Tensor,
        text: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Encode images, guided by text where there is an injector.

        Args:
            x: (B, 3, h, w) images. Right and below they are padded by 0 to
                multiples of the patch. A single one, (1, 3, h, w), may serve
                B texts.
            text: (B, L, D) text tokens. Needed by the injector, and rejected
                without one.
            text_mask: (B, L) bool, False at tokens not to be attended; None
                attends to all, padding included, as the authors do.

        Returns:
            One map (B, channels, H, W) per entry of ``out_indices``.
        """
        self._check_text(text)
        image = self.patch_embed(_pad_to_patches(x, self.patch_size))
        image = image + self._positions.get(
            resize_position, self.pos_embed, image.shape[1:3]
        )
        if self.text_injector is not None and text is not None:
            text = self.text_injector.adapt(text)
            image = image.expand(text.shape[0], -1, -1, -1)
        prompt = text
        outs = []
        for i, block in enumerate(self.blocks):
            update_text = False
            if self.text_injector is not None:
                prompt = self.text_injector(i, text, prompt, image, text_mask)
                update_text = self.text_injector.reads_prompt and i + 1 < len(
                    self.blocks
                )
            if self.with_cp and self.training:
                image, updated = checkpoint(
                    block,
                    image,
                    prompt,
                    text_mask,
                    update_text,
                    use_reentrant=False,
                )
            else:
                image, updated = block(image, prompt, text_mask, update_text)
            prompt = updated if update_text else text
            if i in self.out_indices:
                out = image.permute(0, 3, 1, 2)
                is_last = i + 1 == len(self.blocks)
                outs.append(self.neck(out) if self.neck and is_last else out)
            if i == self.out_indices[-1]:
                break
        return tuple(outs)

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


def _resolve_arch(arch: str | dict) -> dict:
    """Look up a named architecture, or check an explicit one."""
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(
                f'unknown arch {arch!r}; known: {", ".join(ARCHS)}, or a '
                'dict with embed_dims, depth and num_heads'
            )
        return ARCHS[arch]
    arch = rename(arch, dict(global_blocks='global_attn_indexes'), 'arch')
    required = {'embed_dims', 'depth', 'num_heads'}
    allowed = {'global_attn_indexes'}
    keys = set(arch)
    if not required <= keys <= required | allowed:
        raise ValueError(
            f'arch needs the keys {sorted(required)} and may have '
            f'{sorted(allowed)}, got {sorted(keys)}'
        )
    if arch['embed_dims'] % arch['num_heads']:
        raise ValueError(
            f'embed_dims of arch must be a multiple of num_heads, got '
            f'{arch["embed_dims"]} and {arch["num_heads"]}'
        )
    return dict(arch)


def _check_injector(cfg: dict) -> None:
    """Reject an unknown injector, naming the known ones."""
    if isinstance(cfg['type'], type) or MODELS.get(cfg['type']) is not None:
        return
    with MODELS.switch_scope_and_registry(None) as current:
        if current.get(cfg['type']) is not None:
            return
    known = [
        name
        for name, cls in sorted(MODELS.module_dict.items())
        if isinstance(cls, type) and issubclass(cls, TextInjector)
    ]
    raise ValueError(
        f'unknown type {cfg["type"]!r} of text_injector; known: '
        f'{", ".join(known)}. A class of your own must be registered: '
        "custom_imports=dict(imports=['your.module'])"
    )


def _resolve_indices(indices: Sequence[int], depth: int) -> tuple[int, ...]:
    """Count negative block indices from the end, and check all of them."""
    resolved = tuple(i + depth if i < 0 else i for i in indices)
    if (
        not resolved
        or any(not 0 <= i < depth for i in resolved)
        or list(resolved) != sorted(set(resolved))
    ):
        raise ValueError(
            f'out_indices must ascend within the {depth} blocks, got '
            f'{tuple(indices)}'
        )
    return resolved
