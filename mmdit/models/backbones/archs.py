"""Sizes of SAM's image encoders."""

from collections.abc import Sequence

from mmdit.deprecation import rename

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


def resolve_arch(arch: str | dict) -> dict:
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


def resolve_indices(indices: Sequence[int], depth: int) -> tuple[int, ...]:
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
