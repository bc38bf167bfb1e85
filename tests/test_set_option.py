"""`--set` on the command line, as far as what a training is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sslseg import cli, methods
from sslseg import pretraining as pretexts
from sslseg.core.errors import SslsegError
from sslseg.core.events import Event
from sslseg.methods.shared import TrainingParams
from sslseg.options import settings_of
from sslseg.training import model


class Asked:
    """A session that remembers what it was asked for, and does nothing."""

    def train(self, request, control) -> Iterator[Event]:
        self.request = request
        return iter(())


@pytest.fixture
def asked(monkeypatch) -> Asked:
    session = Asked()

    @contextmanager
    def opened(project, read_only=False):
        yield session

    monkeypatch.setattr(cli, "_opened", opened)
    return session


def test_a_methods_own_parameter_reaches_the_method_alone(asked, capsys):
    pairs = ("levels=1", "consistency=0.02", "width=8", "critic=false")
    settings = [word for pair in pairs for word in ("--set", pair)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "p", "--method", "adaptsegnet", *settings, "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["steps"] == 0
    method, training, critic = model.settings_of(asked.request.method, asked.request.settings)
    assert (method.levels, method.consistency, method.start) == (1, 0.02, 0.3)
    assert (training.width, critic.critic) == (8, False)


def test_words_stay_words():
    assert settings_of(["planes=axial and coronal"]) == {"planes": "axial and coronal"}
    assert settings_of(["transform=turns", "largest=true"]) == {
        "transform": "turns",
        "largest": True,
    }


def test_the_example_in_the_refusal_works():
    with pytest.raises(SslsegError) as refused:
        settings_of(["novalue"])
    example = str(refused.value).split("--set ")[-1].rstrip(".")
    _, training, _ = model.settings_of("bcp", settings_of([example]))
    assert training.width == 16


@pytest.mark.parametrize(
    ("name", "models", "command"),
    [
        ("jigsaw", (pretexts.find("jigsaw").Params, TrainingParams), "`sslseg pretrain --help`"),
        ("bcp", (methods.find("bcp").Params, TrainingParams), "`sslseg methods`"),
    ],
)
def test_an_unknown_parameter_is_told_where_the_known_are_listed(name, models, command):
    with pytest.raises(SslsegError, match=f"'critic_los' for method {name}.*{command}"):
        model.sort_settings(name, {"critic_los": "hinge"}, models)
