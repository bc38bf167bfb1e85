"""Which cases are the target of a domain adaptation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sslseg.core.errors import SslsegError
from sslseg.core.words import counted

BLIND = "A Dice on held-out slices is of the source: it tells nothing of the target."


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


def sides(
    domains: Mapping[str, str], annotated: Collection[str], target: Collection[str]
) -> tuple[str, ...]:
    """Return in words what is source and what is target, and what no Dice tells then.

    Parameters
    ----------
    domains, annotated
        As of `target_cases`.
    target : collection of str
        What that returned.
    """
    source = [case for case in domains if case not in target]
    said = [_side(domains, annotated, cases) for cases in (source, sorted(target))]
    words = f"Source: {said[0]}; target: {said[1]}."
    return (words,) if any(case in target for case in annotated) else (words, BLIND)


def _side(domains: Mapping[str, str], annotated: Collection[str], cases: Collection[str]) -> str:
    names = sorted({domains[case] for case in cases})
    labelled = sum(case in annotated for case in cases)
    called = ", ".join(name or "no domain set" for name in names)
    return f"{called} ({counted(len(cases), 'case')}, {labelled or 'none'} labelled)"
