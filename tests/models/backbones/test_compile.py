"""torch.compile takes the encoder as one graph."""

from itertools import cycle

import pytest
import torch
from small_models import INJECTORS

from mmdit.registry import MODELS

NATIVE = (32, 32)


def build(injector, attention='all', depth=2):
    torch.manual_seed(0)
    options = {}
    if injector is not None:
        options = dict(text_injector=dict(type=injector), text_dims=16)
    model = MODELS.build(
        dict(
            type='mmdit.SAMViT',
            arch=dict(
                embed_dims=16,
                depth=depth,
                num_heads=2,
                global_attn_indexes=range(1, depth),
            ),
            patch_size=4,
            img_size=NATIVE[0],
            window_size=3,
            attention=attention,
            **options,
        )
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def compile_and_count(model, **options):
    """Compile without generated code; count the graphs that are taken."""
    torch.compiler.reset()
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    # fullgraph: whatever would break the graph is an error.
    compiled = torch.compile(model, backend=backend, fullgraph=True, **options)
    return compiled, graphs


def inputs(model, size):
    images = torch.randn(2, 3, *size)
    if model.text_injector is None:
        return (images,)
    mask = torch.arange(5) < torch.tensor([[3], [5]])
    return images, torch.randn(2, 5, 16), mask


# Injectors and windows know nothing of each other: each is met once or more.
@pytest.mark.parametrize(
    ('injector', 'attention'),
    list(zip(INJECTORS, cycle(['windowed', 'all']), strict=False)),
)
def test_every_variant_is_one_graph(injector, attention):
    model = build(injector, attention)
    compiled, graphs = compile_and_count(model)
    given = inputs(model, (24, 40))
    torch.testing.assert_close(compiled(*given), model(*given))
    assert len(graphs) == 1


def test_one_graph_serves_all_sizes():
    # Symbolic sizes take seconds for each graph: there is another one where
    # windows need no padding.
    model = build('EndToEndProjection', 'windowed')
    assert [block.attn.window_size for block in model.blocks] == [3, 0]
    compiled, graphs = compile_and_count(model, dynamic=True)
    for size in [(40, 28), (16, 20)]:
        given = inputs(model, size)
        torch.testing.assert_close(compiled(*given), model(*given))
    assert len(graphs) == 1


def test_with_checkpointing_it_is_one_graph_in_training():
    model = build('LayerwiseProjection').train()
    model.with_cp = True
    model.text_injector.eval()  # no dropout: the same numbers twice
    compiled, graphs = compile_and_count(model)
    given = inputs(model, NATIVE)
    out = compiled(*given)[0]
    torch.testing.assert_close(out, model(*given)[0])
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert len(graphs) == 1
