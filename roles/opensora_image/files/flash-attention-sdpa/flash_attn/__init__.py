# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""The interfaces of Flash Attention that Open-Sora calls, over PyTorch's own scaled dot product attention.

Nothing is compiled, and every card that PyTorch has kernels for will do. Tensors are laid out as Flash Attention has
them: (batch, sequence, heads, head size).
"""

from flash_attn.flash_attn_interface import flash_attn_func

__version__ = "0.1.0+sdpa"
__all__ = ["__version__", "flash_attn_func"]
