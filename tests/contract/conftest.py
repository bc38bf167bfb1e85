from __future__ import annotations

from sslseg.methods import find, registry


def pytest_generate_tests(metafunc):
    """Every method in 2.5-D and in 3-D, or in 3-D alone where it needs boxes."""
    if not {"name", "dims"} <= set(metafunc.fixturenames):
        return
    pairs = [
        (name, dims)
        for name in registry()
        for dims in (2, 3)
        if dims == 3 or find(name).dimensions == "any"
    ]
    ids = [f"{name} {'2.5d' if dims == 2 else '3d'}" for name, dims in pairs]
    metafunc.parametrize(("name", "dims"), pairs, ids=ids)
