"""What the worker does after a training, and for what it makes way."""

from __future__ import annotations

from sslseg.core.commands import Open, Predict, ShowCase, Stop, Suggest, Train
from sslseg.core.config import TrainRequest
from sslseg.core.control import Control
from sslseg.core.geometry import Plane
from sslseg.worker import Mailbox


def taken(mailbox: Mailbox):
    """Take one command, as the worker's loop does."""
    return next(iter(mailbox))


def test_what_follows_a_training_waits_for_the_user():
    mailbox = Mailbox(Control())
    mailbox.afterwards(Predict())
    mailbox.afterwards(Suggest())
    mailbox.put(Predict(cases=("anna",)))
    assert taken(mailbox) == Predict(cases=("anna",))
    assert taken(mailbox) == Predict()
    assert taken(mailbox) == Suggest()


def test_a_new_training_interrupts_and_replaces_what_follows():
    control = Control()
    mailbox = Mailbox(control)
    mailbox.afterwards(Predict())
    mailbox.afterwards(Suggest())
    assert taken(mailbox) == Predict()
    train = Train(request=TrainRequest())
    mailbox.put(train)
    assert control.stopped
    assert taken(mailbox) == train
    assert not control.stopped
    mailbox.close()
    assert list(mailbox) == []


def test_showing_a_case_and_asking_for_it_do_not_interrupt():
    control = Control()
    mailbox = Mailbox(control)
    mailbox.afterwards(Predict())
    assert taken(mailbox) == Predict()
    mailbox.put(ShowCase(case="ben"))
    mailbox.put(Predict(cases=("ben",)))
    assert control.shown == "ben"
    assert not control.stopped


def test_another_project_forgets_what_was_on_the_screen():
    """A case of it may have the same name, and fewer slices."""
    control = Control()
    mailbox = Mailbox(control)
    mailbox.put(ShowCase(case="ben", index=7))
    assert control.screen == ("ben", (Plane.AXIAL, 7))
    mailbox.put(Open(project="other"))
    assert control.screen == (None, None)
    mailbox.put(ShowCase(case="carl"))
    taken(mailbox)
    assert control.screen == ("carl", None)


def test_stop_ends_a_prediction_that_nobody_asked_for():
    control = Control()
    mailbox = Mailbox(control)
    mailbox.afterwards(Predict())
    assert taken(mailbox) == Predict()
    mailbox.put(Stop())
    assert control.stopped


def test_only_what_nobody_asked_for_is_unasked():
    mailbox = Mailbox(Control())
    mailbox.afterwards(Predict())
    assert (taken(mailbox), mailbox.unasked) == (Predict(), True)
    mailbox.put(Suggest())
    assert (taken(mailbox), mailbox.unasked) == (Suggest(), False)
