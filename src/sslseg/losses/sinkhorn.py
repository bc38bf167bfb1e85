"""From scores to a soft permutation."""

from __future__ import annotations

from torch import Tensor


def sinkhorn(scores: Tensor, temperature: float = 0.1, rounds: int = 20) -> Tensor:
    """Return the doubly stochastic matrix that rows and columns of exp(scores / temperature) near.

    Sinkhorn & Knopp 1967; as a layer: Mena et al., ICLR 2018. In logarithms, so that large scores
    do not overflow.

    Parameters
    ----------
    scores : Tensor
        ``(..., N, N)``.
    temperature : float
        Positive; small ones come near to a permutation.
    rounds : int
        How often rows and then columns are normalised.

    Returns
    -------
    Tensor
        ``(..., N, N)``; columns sum to 1, rows nearly.
    """
    logs = scores.float() / temperature
    for _ in range(rounds):
        logs = logs - logs.logsumexp(-1, keepdim=True)
        logs = logs - logs.logsumexp(-2, keepdim=True)
    return logs.exp()
