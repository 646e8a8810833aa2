"""Inputs and comparisons of the tests of the Triton kernels of deformable attention."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmbeit3.ops.deform_attn import triton_kernel

triton = pytest.importorskip("triton")

INTERPRETED = not isinstance(triton_kernel.forward_kernel, triton.JITFunction)
DEVICE = torch.device("cpu" if INTERPRETED else "cuda")
TOLERANCES = {torch.float32: 1e-4, torch.float16: 4e-3, torch.bfloat16: 3e-2}

compares = pytest.mark.skipif(not INTERPRETED and not torch.cuda.is_available(), reason="no GPU")
compiled_only = pytest.mark.skipif(INTERPRETED, reason="about the compiled kernels")


def inputs(shapes, B=2, heads=2, d=3, Q=3, P=2, seed=0, spread=1.0, dtype=torch.float32, device=DEVICE):
    """Return values, shapes, points up to ``spread`` maps from the centre, weights, and a gradient of the output."""
    generator = torch.Generator().manual_seed(seed)
    value = torch.randn(B, sum(h * w for h, w in shapes), heads, d, generator=generator)
    locations = 0.5 + spread * (torch.rand(B, Q, heads, len(shapes), P, 2, generator=generator) - 0.5) * 2
    # Gradients of locations jump from cell to cell, so that no point may be so close to one that rounding moves it across.
    widths = torch.tensor([(w, h) for h, w in shapes])[:, None]
    places = locations * widths - 0.5
    locations = locations + ((places - places.round()).abs() < 1e-3) * 0.01 / widths
    weights = torch.rand(B, Q, heads, len(shapes), P, generator=generator)
    gradient = torch.randn(B, Q, heads * d, generator=generator)
    return value.to(device, dtype), shapes, locations.to(device), weights.to(device), gradient.to(device, dtype)


def layer_inputs(shapes, size=2, images=None, dtype=torch.float32, **sizes):
    """Return values, shapes, offsets, logits, a gradient of the output, and reference points or boxes (``size`` 2 or 4).

    References are on multiples of a quarter of a cell, offsets on odd multiples of an eighth: no point is so close to a cell's
    centre that rounding moves it across.
    """
    value, _, locations, _, gradient = inputs(shapes, dtype=dtype, **sizes)
    B, Q, heads, L, P, _ = locations.shape
    generator = torch.Generator().manual_seed(sizes.get("seed", 0))
    widths = torch.tensor([(w, h) for h, w in shapes])
    centres = (torch.rand(images or B, Q, L, 2, generator=generator) * widths * 4).round() / 4
    offsets = torch.randint(-8, 8, locations.shape, generator=generator) / 4 + 0.125
    references = centres / widths
    if size == 4:
        # A side of 2 * P cells: an offset of one is then one cell.
        references = torch.cat([references, (2.0 * P / widths).expand_as(references)], dim=-1)
    logits = torch.randn(B, Q, heads, L * P, generator=generator) * 2
    return value, shapes, offsets.to(DEVICE, dtype), logits.to(DEVICE, dtype), gradient, references.to(DEVICE)


def definition(value, shapes, locations, weights, references=None):
    """Sample bilinearly with plain, differentiable operations."""
    if references is not None:
        sizes = torch.tensor([(w, h) for h, w in shapes], device=value.device)[:, None]
        around = references[:, :, None, :, None]
        weights = weights.softmax(-1).view(locations.shape[:-1])
        if around.shape[-1] == 4:
            locations = around[..., :2] + locations / locations.shape[4] * around[..., 2:] * 0.5
        else:
            locations = around + locations / sizes
    B, _, heads, d = value.shape
    Q, P = locations.shape[1], locations.shape[4]
    output, first = value.new_zeros(B, Q, heads, d), 0
    for level, (h, w) in enumerate(shapes):
        cells = value[:, first : first + h * w].transpose(1, 2)  # (B, heads, h * w, d)
        first += h * w
        x = locations[:, :, :, level, :, 0] * w - 0.5  # (B, Q, heads, P)
        y = locations[:, :, :, level, :, 1] * h - 0.5
        left, upper = x.detach().floor(), y.detach().floor()
        for dx, share_x in enumerate((1 - (x - left), x - left)):
            for dy, share_y in enumerate((1 - (y - upper), y - upper)):
                column, row = left + dx, upper + dy
                inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
                share = share_x * share_y * inside * weights[:, :, :, level]
                index = torch.where(inside, row * w + column, 0).long().transpose(1, 2).flatten(2)  # (B, heads, Q * P)
                read = cells.gather(2, index[..., None].expand(-1, -1, -1, d)).view(B, heads, Q, P, d)
                output = output + (share.transpose(1, 2)[..., None] * read).sum(3).transpose(1, 2)
    return output.flatten(2)


def compare(value, shapes, points, scores, gradient, *references):
    """Compare output and gradients with those of the definition for the same, possibly rounded, values."""
    exact = [tensor.detach().double().requires_grad_() for tensor in (value, points, scores)]
    output = definition(exact[0], shapes, *exact[1:], *(tensor.double() for tensor in references))
    wanted = [output, *torch.autograd.grad(output, exact, gradient.double())]
    got = [triton_kernel.forward(value, shapes, points, scores, *references)]
    got += triton_kernel.backward(value, shapes, points, scores, gradient, *references)
    dtypes = [value.dtype, value.dtype, points.dtype, scores.dtype]
    for one, other, dtype in zip(got, wanted, dtypes, strict=True):
        assert one.dtype == dtype
        assert one.is_contiguous()
        # The largest number sets the scale: gradients of locations grow with the map's size, and many terms cancel.
        scale = max(1.0, other.abs().max().item()) if other.numel() else 1.0
        torch.testing.assert_close(one.double() / scale, other / scale, atol=TOLERANCES[dtype] / 2, rtol=TOLERANCES[dtype])


class Counting:
    """A kernel that counts its launches, and launches only if ``real``."""

    def __init__(self, kernel, counts, real):
        self.kernel, self.counts, self.real = kernel, counts, real

    def __getitem__(self, grid):
        self.counts.append(self.kernel)
        return self.kernel[grid] if self.real else lambda *_, **__: None


class Calls(TorchDispatchMode):
    """Record PyTorch's operators and the shapes of their results."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func.overloadpacket.__name__, tuple(getattr(result, "shape", ()))))
        return result


def counted(monkeypatch, real):
    counts = []
    for name in ("forward_kernel", "backward_kernel"):
        monkeypatch.setattr(triton_kernel, name, Counting(getattr(triton_kernel, name), counts, real))
    return counts
