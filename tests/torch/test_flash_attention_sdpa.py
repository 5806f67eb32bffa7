# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The drop-in for Flash Attention against attention written out in double precision. Needs torch and the drop-in.

The ordinary unit tests don't collect this folder; the scenario `image` runs it inside the images that it builds.
"""

from __future__ import annotations

import importlib.metadata

import flash_attn
import pytest
import torch
from flash_attn import flash_attn_func
from flash_attn.flash_attn_interface import _flash_attn_backward, _flash_attn_forward

# Absolute tolerance by type: a few units in the last place of values around one.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}


def tensors(seed, *, batch=2, queries=33, keys=33, heads=6, key_heads=6, size=64, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, queries, heads, size), (batch, keys, key_heads, size), (batch, keys, key_heads, size)]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


def scores(q, k, scale, *, causal=False, window=(-1, -1)):
    """Scaled scores in double precision, minus infinity where a query does not see a key."""
    q, k = (tensor.double().transpose(1, 2) for tensor in (q, k))
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    found = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    rows, columns = found.shape[-2:]
    for row in range(rows):
        place = row + columns - rows
        for column in range(columns):
            if (causal and column > place) or (0 <= window[0] < place - column) or (0 <= window[1] < column - place):
                found[..., row, column] = -torch.inf
    return found


def reference(q, k, v, scale=None, *, causal=False, window=(-1, -1)):
    weights = torch.softmax(scores(q, k, scale, causal=causal, window=window), dim=-1).nan_to_num(0.0)
    v = v.double().transpose(1, 2).repeat_interleave(q.shape[2] // v.shape[2], dim=1)
    return (weights @ v).transpose(1, 2)


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("size", [8, 64, 72, 128])
def test_types_and_head_sizes(dtype, size):
    q, k, v = tensors(1, size=size, dtype=dtype)
    out = flash_attn_func(q, k, v)
    assert out.dtype == dtype
    assert out.shape == q.shape
    assert out.is_contiguous()
    torch.testing.assert_close(out.double(), reference(q, k, v), atol=TOLERANCE[dtype], rtol=0)


@pytest.mark.parametrize(("queries", "keys"), [(33, 33), (5, 33), (33, 5), (1, 40), (7, 1)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [(-1, -1), (3, 0), (0, 2), (4, 4), (-1, 3), (3, -1)])
def test_what_a_token_sees(queries, keys, causal, window):
    q, k, v = tensors(2, queries=queries, keys=keys)
    out = flash_attn_func(q, k, v, causal=causal, window_size=window)
    wanted = reference(q, k, v, causal=causal, window=window)
    torch.testing.assert_close(out.double(), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("key_heads", [1, 2, 3, 6])
def test_queries_that_share_keys(key_heads):
    q, k, v = tensors(3, key_heads=key_heads)
    torch.testing.assert_close(flash_attn_func(q, k, v).double(), reference(q, k, v), atol=1e-5, rtol=0)


def test_scale():
    q, k, v = tensors(4)
    out = flash_attn_func(q, k, v, softmax_scale=0.3)
    torch.testing.assert_close(out.double(), reference(q, k, v, scale=0.3), atol=1e-5, rtol=0)
    assert not torch.allclose(out, flash_attn_func(q, k, v))


def test_tensors_that_are_views():
    packed = torch.stack(tensors(5), dim=2)
    q, k, v = packed.unbind(2)
    assert not q.is_contiguous()
    torch.testing.assert_close(flash_attn_func(q, k, v).double(), reference(q, k, v), atol=1e-5, rtol=0)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients(causal):
    ours = [tensor.requires_grad_() for tensor in tensors(6, queries=9, keys=12)]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    flash_attn_func(*ours, causal=causal).square().sum().backward()
    reference(*theirs, causal=causal).square().sum().backward()
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("queries", "keys", "scale"), [(33, 33, None), (5, 33, 0.2), (33, 1, None)])
def test_log_of_the_denominator(queries, keys, scale):
    q, k, v = tensors(7, queries=queries, keys=keys, dtype=torch.bfloat16)
    out, log_sum, probabilities, state = _flash_attn_forward(
        q,
        k,
        v,
        0.0,
        scale,
        causal=False,
        window_size_left=-1,
        window_size_right=-1,
        softcap=0.0,
        alibi_slopes=None,
        return_softmax=False,
    )
    assert (log_sum.dtype, tuple(log_sum.shape)) == (torch.float32, (2, 6, queries))
    assert probabilities is None
    assert state is None
    torch.testing.assert_close(log_sum.double(), torch.logsumexp(scores(q, k, scale), -1), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.double(), reference(q, k, v, scale), atol=2e-2, rtol=0)


def test_two_halves_of_the_keys_give_the_whole():
    """What ring attention does with the log-sum-exp: it puts parts together."""
    q, k, v = tensors(8, keys=40)
    parts = [
        _flash_attn_forward(q, k[:, half], v[:, half], 0.0, None, causal=False)[:2]
        for half in (slice(0, 15), slice(15, 40))
    ]
    whole = torch.logsumexp(torch.stack([log_sum for _, log_sum in parts]), dim=0)
    out = sum(out * torch.exp(log_sum - whole).transpose(1, 2).unsqueeze(-1) for out, log_sum in parts)
    torch.testing.assert_close(out.double(), reference(q, k, v), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("option", "value"), [("softcap", 5.0), ("alibi_slopes", torch.ones(6)), ("return_attn_probs", True)]
)
def test_what_is_not_there_is_refused(option, value):
    with pytest.raises(NotImplementedError, match=rf"^{option} is .*allowed is"):
        flash_attn_func(*tensors(9), **{option: value})


@pytest.mark.parametrize(("option", "value"), [("dropout_p", 0.1), ("causal", True), ("window_size_left", 3)])
def test_what_ring_attention_does_not_have_here_is_refused(option, value):
    wanted = {"dropout_p": 0.0, "softmax_scale": None, "causal": False} | {option: value}
    with pytest.raises(NotImplementedError, match=rf"^{option} is .*allowed is"):
        _flash_attn_forward(*tensors(10), **wanted)


def test_training_of_ring_attention_is_refused():
    with pytest.raises(NotImplementedError, match="opensora_image_flash_attention: wheel or source"):
        _flash_attn_backward()


def test_heads_that_do_not_fit():
    with pytest.raises(ValueError, match="q has 6 heads, k has 4"):
        flash_attn_func(*tensors(11, key_heads=4))


def test_version_says_what_is_there():
    assert flash_attn.__version__ == importlib.metadata.version("flash_attn")
    # Others ask for 2.1.0 before they use interfaces that are not here.
    assert int(flash_attn.__version__.split(".")[0]) < 2
