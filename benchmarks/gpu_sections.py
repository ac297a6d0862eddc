"""What ``gpu.py`` measures, section by section; each yields rows.

A section runs in a process of its own, so that what it leaves behind, or how
it ends, is nobody else's concern. What may fail to compile is apart from what
cannot.
"""

import gc
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
from machine import ROOT
from mmengine.config import ConfigDict
from speed import MIB, forget, measure
from speed_models import QUICK, QUICK_ARCH, segmentor_config
from speed_parts import (
    Case,
    Contender,
    Job,
    Setting,
    inference_case,
    step_case,
    text_case,
    training_step,
)
from torch import Tensor

from mmdit.models.backbones.archs import ARCHS
from mmdit.models.layers import attend
from mmdit.models.memory import build_optimizer, count_memory, run_step
from mmdit.registry import MODELS

Rows = Iterator[dict]
BOTH = (torch.float32, torch.bfloat16)
HALF = (torch.bfloat16,)
TEXTS = 20


@dataclass(frozen=True)
class Plan:
    """Where and how large everything is.

    Attributes:
        device: What measures.
        small: Architecture, and images and their side in pixels.
        large: The same of the largest model.
        repeats: Passes of each contender.
        quick: Whether it is only tried.
    """

    device: torch.device
    small: tuple[str, tuple[tuple[int, int], ...]]
    large: tuple[str, tuple[tuple[int, int], ...]]
    repeats: int
    quick: bool = False

    def settings(
        self, dtypes: tuple[torch.dtype, ...], *, large: bool = False
    ) -> Iterator[Setting]:
        """Go through sizes and directions."""
        arch, inputs = self.large if large else self.small
        for batch, size in inputs:
            for backward in (False, True):
                yield Setting(arch, batch, size, dtypes, backward, self.device)

    def first(
        self, dtypes: tuple[torch.dtype, ...], backward: bool
    ) -> Setting:
        """Return the setting of the paper's recipe: batch 16, 512 px."""
        arch, ((batch, size), *_) = self.small
        return Setting(arch, batch, size, dtypes, backward, self.device)

    def run(self, case: Case, setting: Setting) -> Rows:
        """Measure a case and forget it."""
        yield from measure(case, setting, self.repeats)
        gc.collect()
        forget(self.device)


def make_plan(device: str, quick: bool) -> Plan:
    """Return the sizes of a GPU, or some that a CPU computes in no time."""
    if quick:
        ARCHS[QUICK] = QUICK_ARCH
        sizes = QUICK, ((2, 32),)
        return Plan(torch.device(device), sizes, sizes, 1, True)
    return Plan(
        torch.device(device),
        ('base', ((16, 512), (4, 1024))),
        ('huge', ((8, 512), (2, 1024))),
        10,
    )


def attention(plan: Plan) -> Rows:
    """Compare backends that need no compiler."""
    yield from compare_backends(plan, ('reference', 'sdpa', 'folded'))


def flex(plan: Plan) -> Rows:
    """Compare FlexAttention with what ``auto`` takes on a GPU."""
    yield from compare_backends(plan, ('folded', 'flex'))


def compare_backends(plan: Plan, backends: tuple[str, ...]) -> Rows:
    """Measure the attention alone, of both models."""
    for large in (False, True):
        for setting in plan.settings(HALF, large=large):
            on_cpu = plan.device.type == 'cpu'
            if on_cpu and setting.backward and 'flex' in backends:
                continue  # PyTorch has no such backward pass
            yield from plan.run(attention_case(setting, backends), setting)


def attention_case(setting: Setting, backends: tuple[str, ...]) -> Case:
    """L-DIT's attention alone: text is key and value, images ask."""
    sizes = ARCHS[setting.arch]
    heads, side = sizes['num_heads'], setting.size // 16
    width, tokens = sizes['embed_dims'] // heads, side**2
    keys = TEXTS + tokens

    def job(backend: str) -> Job:
        generator = torch.Generator().manual_seed(0)
        inputs = [
            torch.randn(
                setting.batch, heads, rows, columns, generator=generator
            )
            .to(setting.device, torch.bfloat16)
            .requires_grad_(setting.backward)
            for rows, columns in (
                (tokens, width),
                (keys, width),
                (keys, width),
                (tokens, side),
                (tokens, side),
            )
        ]

        def forward() -> Tensor:
            return attend(*inputs, backend=backend)

        def both() -> Tensor:
            for tensor in inputs:
                tensor.grad = None
            out = forward()
            out.backward(torch.ones_like(out))
            return out.detach()

        return both if setting.backward else forward

    # Two products forward, and five backward, where one is computed again.
    products = 7 if setting.backward else 2
    return Case(
        f'attention alone, {setting.batch} x {setting.size} px',
        [
            Contender(name, torch.bfloat16, partial(job, name))
            for name in backends
        ],
        products * 2 * setting.batch * heads * tokens * keys * width,
        facts=setting.facts,
    )


def encoder(plan: Plan) -> Rows:
    """L-DIT's encoder against the plain one, in both directions."""
    for backward in (False, True):
        setting = plan.first(BOTH, backward)
        yield from plan.run(text_case(setting), setting)


def step(plan: Plan) -> Rows:
    """The whole training step."""
    setting = plan.first(BOTH, True)
    yield from plan.run(step_case(setting), setting)


def inference(plan: Plan) -> Rows:
    """From images and token ids to masks, many images and one."""
    setting = plan.first(BOTH, False)
    for batch in (setting.batch, 1):
        setting = replace(setting, batch=batch)
        yield from plan.run(inference_case(setting), setting)


def compiled(plan: Plan) -> Rows:
    """What torch.compile adds to inference and to the training step."""
    # No code is generated where it is only tried: that takes a minute.
    ways = dict(backend='eager') if plan.quick else {}
    setting = plan.first(HALF, False)
    yield from plan.run(inference_case(setting, compile_with=ways), setting)
    setting = plan.first(HALF, True)
    run = partial(training_step, setting, dtype=torch.bfloat16)
    names = {
        'mmdit': partial(run, 'auto'),
        'mmdit, compiled': partial(run, 'auto', compile_with=ways),
    }
    if plan.device.type != 'cpu':
        names['mmdit, flex'] = partial(run, 'flex')
    case = step_case(setting)
    case.contenders = [
        Contender(name, torch.bfloat16, make) for name, make in names.items()
    ]
    yield from plan.run(case, setting)


def memory(plan: Plan) -> Rows:
    """The peaks of training steps, as the device counts them."""
    for row, cfg in memory_cases(plan):
        row['contender'] = 'measured'
        if plan.device.type != 'cuda':
            row['contender'] = 'measured on a GPU only'
        yield row | measure_peak(cfg, row['batch'], row['size'], plan.device)


def counted(plan: Plan) -> Rows:
    """The same peaks, as ``get_memory.py`` counts them without a device."""
    for row, cfg in memory_cases(plan):
        size = row['size'], row['size']
        peak = count_memory(
            cfg.to_dict(), row['batch'], size, torch.bfloat16
        ).peak
        yield row | dict(contender='counted', peak_mib=peak / MIB)


def memory_cases(plan: Plan) -> Iterator[tuple[dict, ConfigDict]]:
    """Give ViT-B with a batch of 16, and ViT-H with an image of 1024 px."""
    (small, (first, *_)), (large, (*_, last)) = plan.small, plan.large
    for arch, (batch, size), with_cp in (
        (small, first, False),
        (large, (1, last[1]), True),
    ):
        what = 'recomputing blocks, ' if with_cp else ''
        row = dict(
            case='peak of memory',
            arch=arch,
            batch=batch,
            size=size,
            measured=f'{what}training step',
            dtype='bfloat16',
        )
        with segmentor_config(arch, size, 'folded', with_cp=with_cp) as cfg:
            yield row, cfg


def measure_peak(
    cfg: ConfigDict, batch: int, size: int, device: torch.device
) -> dict:
    """Return the peak of two steps; a CPU does not know it."""
    with device:  # which draws random weights faster than a CPU
        model = MODELS.build(cfg).to(device).train()
    optimizer = build_optimizer(model, None)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(2):
        optimizer.zero_grad()
        run_step(
            *(model, optimizer, batch, (size, size), torch.bfloat16),
            device.type,
        )
    if device.type != 'cuda':
        return {}
    return dict(peak_mib=torch.cuda.max_memory_allocated(device) / MIB)


def tests(plan: Plan) -> Rows:
    """Run ``pytest -m gpu``."""
    command = [sys.executable, '-m', 'pytest', '-m', 'gpu', 'tests/gpu']
    command += ['-v', '--tb=short', '--color=no', '-p', 'no:cacheprovider']
    here = dict(MMDIT_GPU_TESTS_DEVICE=plan.device.type, PYTHONUNBUFFERED='1')
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | here,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield from read_tests(process.stdout)
    if process.returncode:
        raise RuntimeError('a test failed; see above')


def read_tests(lines: Iterable[str]) -> Rows:
    """Read what became of each test from pytest's lines; also print them."""
    for line in lines:
        sys.stdout.write(line)
        found = re.match(r'\S+::(.+?) (PASSED|FAILED|ERROR|SKIPPED)', line)
        if found:
            row = dict(case='test', contender=found[1])
            yield row if found[2] == 'PASSED' else row | dict(error=found[2])


SECTIONS: dict[str, Callable[[Plan], Rows]] = {
    section.__name__: section
    for section in (
        attention,
        step,
        encoder,
        inference,
        tests,
        memory,
        flex,
        compiled,
        counted,
    )
}
