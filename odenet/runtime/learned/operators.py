"""Linear operators on feature maps ``(batch, channels, *space)`` and their exact adjoints.

A kernel is a plain tensor whose number of axes says what it is: ``(out, in)`` is a dense matrix on
the channel axis, ``(out, in / groups, k)``, ``(…, k, k)`` and ``(…, k, k, k)`` are convolutions.

Convolutions keep the size of the map ("same" padding with zeros) for odd and for even kernels: a
kernel axis of length k covers offsets from ``-((k - 1) // 2)`` to ``k // 2``, times the dilation.
With this convention the adjoint of a kernel is again a kernel, so that sums such as K - K^T - γ I
are one convolution.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(x: Tensor, K: Tensor, *, groups: int = 1, dilation: int = 1) -> Tensor:
    """K x, the convolution of a map with a kernel; the map keeps its size.

    Args:
        x: ``(batch, in, *space)``.
        K: ``(out, in / groups, *kernel)`` with one to three kernel axes.
        groups: channel groups that do not mix.
        dilation: distance between the pixels that the kernel reads.

    Returns:
        ``(batch, out, *space)``.
    """
    sizes = K.shape[2:]
    if _is_odd(sizes):
        padding = tuple(dilation * (k // 2) for k in sizes)
    else:
        # F.pad lists the last axis first, as (before, after) pairs.
        pads = [dilation * n for k in reversed(sizes) for n in ((k - 1) // 2, k // 2)]
        x, padding = F.pad(x, pads), 0
    return _CONV[len(sizes)](x, K, padding=padding, dilation=dilation, groups=groups)


def adjoint_conv(y: Tensor, K: Tensor, *, groups: int = 1, dilation: int = 1) -> Tensor:
    """K^T y, the exact adjoint of ``conv``: <K x, y> = <x, K^T y>.

    Args:
        y: ``(batch, out, *space)``.
        K: the kernel that ``conv`` takes, ``(out, in / groups, *kernel)``.
        groups: as in ``conv``.
        dilation: as in ``conv``.

    Returns:
        ``(batch, in, *space)``.
    """
    sizes = K.shape[2:]
    transpose = _CONV_TRANSPOSE[len(sizes)]
    if _is_odd(sizes):
        padding = tuple(dilation * (k // 2) for k in sizes)
        return transpose(y, K, padding=padding, dilation=dilation, groups=groups)
    x = transpose(y, K, dilation=dilation, groups=groups)
    for axis, k in enumerate(sizes, start=2):
        x = x.narrow(axis, dilation * ((k - 1) // 2), y.shape[axis])
    return x


def dense(x: Tensor, W: Tensor) -> Tensor:
    """W x on the channel axis: ``(batch, in, *space)`` by ``(out, in)``."""
    return F.linear(x, W) if x.ndim == 2 else conv(x, W[(..., *(None,) * (x.ndim - 2))])


def adjoint_dense(y: Tensor, W: Tensor) -> Tensor:
    """W^T y, the exact adjoint of ``dense``."""
    return dense(y, W.T)


def diag(x: Tensor, d: Tensor) -> Tensor:
    """One factor per channel, a symmetric operator: d is ``(channels, 1, …, 1)``."""
    return x * d


def odd_kernel(K: Tensor) -> Tensor:
    """The same operator with a kernel of odd size; an odd kernel comes back as it is.

    An even axis extends one pixel further after the centre than before it, so that a leading zero
    makes it odd.
    """
    pads = [n for k in reversed(K.shape[2:]) for n in ((k + 1) % 2, 0)]
    return F.pad(K, pads) if any(pads) else K


def adjoint_kernel(K: Tensor, *, groups: int = 1) -> Tensor:
    """The kernel of K^T, at any dilation, so that ``conv`` with it is ``adjoint_conv`` with K.

    Args:
        K: ``(out, in / groups, *kernel)``, or a dense matrix ``(out, in)``.
        groups: as in ``conv``.

    Returns:
        ``(in, out / groups, *kernel)``; an even kernel becomes odd (see ``odd_kernel``).
    """
    K = odd_kernel(K).unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
    return K.flip(tuple(range(2, K.ndim))) if K.ndim > 2 else K


def eye_kernel(K: Tensor, *, groups: int = 1) -> Tensor:
    """The identity as a kernel of the (odd) size, type and device of K.

    Raises:
        ValueError: if K changes the number of channels.
    """
    channels, per_group = K.shape[0], K.shape[1]
    if channels != per_group * groups:
        raise ValueError(
            f"the identity keeps the number of channels, but the kernel takes "
            f"{per_group * groups} to {channels}"
        )
    sizes = [k + (k + 1) % 2 for k in K.shape[2:]]
    eye = K.new_zeros(channels, per_group, *sizes)
    centre = (slice(None), slice(None), *(k // 2 for k in sizes))
    eye[centre] = torch.eye(per_group, dtype=K.dtype, device=K.device).repeat(groups, 1)
    return eye


def soft_threshold(x: Tensor, lam: float | Tensor) -> Tensor:
    """Sign(x) max(|x| - λ, 0): shrinks towards zero by λ >= 0."""
    # A number is filled in where it is needed: `as_tensor` would copy it, and wait for the device.
    threshold = lam.to(x) if isinstance(lam, Tensor) else x.new_full((), lam)
    return x - torch.clamp(x, -threshold, threshold)


def split(u: Tensor, parts: int) -> tuple[Tensor, ...]:
    """The channels of u in equal parts, in order.

    Raises:
        ValueError: if their number is not a multiple of ``parts``.
    """
    if u.shape[1] % parts:
        raise ValueError(f"{u.shape[1]} channels do not split into {parts} equal parts")
    return u.chunk(parts, dim=1)


def _is_odd(sizes: torch.Size) -> bool:
    return all(k % 2 for k in sizes)
