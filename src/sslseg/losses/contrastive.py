"""InfoNCE: pull positives together, push negatives apart."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FAR = -1e4
"""Stands for minus infinity where there is no negative; its gradient is 0 instead of NaN."""


def info_nce(z: Tensor, positive: Tensor, negative: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the mean over positive pairs (a, b) of their InfoNCE loss.

    Chaitanya et al., NeurIPS 2020, eq. 1, with cosine similarity s and
    temperature t: ``-ln(exp(s_ab / t) / (exp(s_ab / t) + sum_n exp(s_an / t)))``, n over the
    negatives of a. With one positive for each anchor and all others negative it is NT-Xent.

    Parameters
    ----------
    z : Tensor
        Embeddings ``(..., M, D)``; only their direction counts.
    positive, negative : Tensor
        ``(M, M)`` or ``(..., M, M)`` bool, a row for each anchor; disjoint, false on the diagonal.
    temperature : float
        Positive.

    Returns
    -------
    Tensor
        Scalar; 0 with zero gradient where there is no positive pair.
    """
    unit = F.normalize(z.float(), dim=-1)
    similarity = unit @ unit.transpose(-1, -2) / temperature
    against = torch.where(negative, similarity, FAR).logsumexp(-1, keepdim=True)
    loss = F.softplus(against - similarity)
    pairs = positive.expand_as(loss)
    return torch.where(pairs, loss, 0.0).sum() / pairs.sum().clamp(min=1)
