# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Attention with the signatures of Flash Attention 2.7."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch.nn import functional

# Head sizes that PyTorch's flash kernel takes.
_LARGEST_HEAD = 256
_HEAD_STEP = 8


def flash_attn_func(  # noqa: PLR0917 (the signature of Flash Attention)
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: torch.Tensor | None = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> torch.Tensor:
    """Return softmax(q kᵀ · scale) v; gradients flow through it.

    Args:
        q: (batch, sequence of q, heads, head size).
        k: (batch, sequence of k, heads of k, head size); the heads of q are a multiple of them.
        v: Like k.
        dropout_p: Probability of dropout, for training.
        softmax_scale: Default is 1/√(head size).
        causal: Token i of q sees the tokens of k up to i + (sequence of k - sequence of q).
        window_size: Tokens to the left and to the right of that place that it sees; -1 for all.
        softcap: Only 0.0.
        alibi_slopes: Only None.
        deterministic: Taken and not needed: the forward pass is deterministic.
        return_attn_probs: Only False.

    Returns:
        (batch, sequence of q, heads, head size), zeros where a token of q sees nothing.

    Raises:
        NotImplementedError: An option that scaled dot product attention does not have.
    """
    del deterministic
    _refuse("softcap", softcap, 0.0)
    _refuse("alibi_slopes", alibi_slopes, None)
    _refuse("return_attn_probs", return_attn_probs, allowed=False)
    query, key, value = _heads_first(q, k, v)
    mask = _mask(query, key, causal=causal, window_size=window_size)
    out = functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout_p,
        is_causal=causal and mask is None,
        scale=softmax_scale,
    )
    if mask is not None:
        # A softmax over nothing is not a number.
        out = out.masked_fill(~mask.any(dim=-1, keepdim=True), 0.0)
    return out.transpose(1, 2).contiguous()


def _flash_attn_forward(  # noqa: PLR0917 (the signature of Flash Attention)
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float,
    softmax_scale: float | None,
    causal: bool,
    window_size_left: int = -1,
    window_size_right: int = -1,
    softcap: float = 0.0,
    alibi_slopes: torch.Tensor | None = None,
    return_softmax: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, None, torch.Tensor | None]:
    """Return the attention and the logarithm of each softmax's denominator, for ring attention over several GPUs.

    Args:
        q: (batch, sequence of q, heads, head size).
        k: Like q; heads as in flash_attn_func().
        v: Like k.
        dropout_p: Only 0.0.
        softmax_scale: None for 1/√(head size).
        causal: Only False.
        window_size_left: Only -1.
        window_size_right: Only -1.
        softcap: Only 0.0.
        alibi_slopes: Only None.
        return_softmax: Only False.

    Returns:
        The attention like q, the log-sum-exp in float32 as (batch, heads, sequence of q), None, None.

    Raises:
        NotImplementedError: An option that is not there.
    """
    _refuse("dropout_p", dropout_p, 0.0)
    _refuse("causal", causal, allowed=False)
    _refuse("window_size_left", window_size_left, -1)
    _refuse("window_size_right", window_size_right, -1)
    _refuse("softcap", softcap, 0.0)
    _refuse("alibi_slopes", alibi_slopes, None)
    _refuse("return_softmax", return_softmax, allowed=False)
    query, key, value = _heads_first(q, k, v)
    scale = query.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale
    if not query.is_cuda:
        scores = torch.matmul(query.float(), key.float().transpose(-1, -2)) * scale
        log_sum = torch.logsumexp(scores, dim=-1)
        out = torch.matmul(torch.exp(scores - log_sum.unsqueeze(-1)), value.float()).to(q.dtype)
    elif _fits_flash(query):
        out, log_sum, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, False, scale=scale
        )
    else:
        out, log_sum, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, False, scale=scale
        )
    # The memory-efficient kernel rounds the sequence up.
    log_sum = log_sum[..., : query.shape[-2]].float()
    return out.transpose(1, 2).contiguous(), log_sum, None, None


def _flash_attn_backward(*_arguments: object, **_options: object) -> NoReturn:
    """Refuse: training with ring attention needs Flash Attention itself.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(
        "_flash_attn_backward: training with ring attention over several GPUs needs Flash Attention itself; "
        "build the image with opensora_image_flash_attention: wheel or source"
    )


def _refuse(name: str, value: object, allowed: object) -> None:
    if value != allowed:
        raise NotImplementedError(
            f"{name} is {value!r}, allowed is {allowed!r}: scaled dot product attention does not have it. "
            "Build the image with opensora_image_flash_attention: wheel or source"
        )


def _heads_first(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the three as (batch, heads, sequence, head size), with as many heads in k and v as in q."""
    heads, of_keys = q.shape[2], k.shape[2]
    if of_keys == 0 or heads % of_keys:
        raise ValueError(f"q has {heads} heads, k has {of_keys}: allowed is a divisor of them")
    query, key, value = (tensor.transpose(1, 2) for tensor in (q, k, v))
    if heads != of_keys:
        key, value = (tensor.repeat_interleave(heads // of_keys, dim=1) for tensor in (key, value))
    return query, key, value


def _mask(query: torch.Tensor, key: torch.Tensor, *, causal: bool, window_size: tuple[int, int]) -> torch.Tensor | None:
    """Return which keys each query sees, or None where PyTorch needs no mask to say so."""
    rows, columns = query.shape[-2], key.shape[-2]
    left, right = window_size
    if causal:
        if left < 0 and rows == columns:
            return None
        right = 0 if right < 0 else min(right, 0)
    if left < 0 and right < 0:
        return None
    # Both ends of the sequences stand at the same place.
    place = torch.arange(rows, device=query.device).unsqueeze(1) + (columns - rows)
    column = torch.arange(columns, device=query.device).unsqueeze(0)
    seen = torch.ones(rows, columns, dtype=torch.bool, device=query.device)
    if left >= 0:
        seen &= column >= place - left
    if right >= 0:
        seen &= column <= place + right
    return seen


def _fits_flash(query: torch.Tensor) -> bool:
    """Say whether PyTorch's flash kernel takes these tensors: half precision, on an Ampere card or newer."""
    size = query.shape[-1]
    major, _ = torch.cuda.get_device_capability(query.device)
    return (
        query.dtype in (torch.float16, torch.bfloat16)
        and size <= _LARGEST_HEAD
        and size % _HEAD_STEP == 0
        and major >= 8  # noqa: PLR2004 (compute capability of Ampere)
    )
