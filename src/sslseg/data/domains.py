"""Which cases are the target of a domain adaptation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sslseg.core.errors import SslsegError


def target_cases(domains: Mapping[str, str], annotated: Iterable[str], method: str) -> set[str]:
    """Return the cases of the target: of every domain without an annotated slice.

    Where every domain holds annotations, the target is what is not of the domain with the most
    annotated cases.

    Parameters
    ----------
    domains : mapping
        Case to domain; "" is a domain too.
    annotated : iterable of str
        Cases with annotated slices.
    method : str
        Its name, for the message.

    Raises
    ------
    SslsegError
        When all cases are of one domain.
    """
    named = sorted(set(domains.values()))
    if len(named) < 2:
        which = f"one domain ({named[0]!r})" if named and named[0] else "no domains"
        raise SslsegError(
            f"a project with {which} for method {method}",
            "at least two domains: a labelled source and an unlabelled target",
            "Set the domain of the target's cases in the worklist or with `sslseg domain`.",
        )
    counts = dict.fromkeys(named, 0)
    for case in annotated:
        counts[domains[case]] += 1
    source = {name for name, count in counts.items() if count}
    if len(source) == len(named):
        source = {max(named, key=lambda name: counts[name])}
    return {case for case, domain in domains.items() if domain not in source}
