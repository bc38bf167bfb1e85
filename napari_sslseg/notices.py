"""What the engine's news makes the user read, once."""

from __future__ import annotations

from napari.utils.notifications import show_error, show_info, show_warning

from sslseg.core.events import CommandDone, Event, Exported, FinishReason, RunFinished, RunStarted


class Notices:
    """Turns events into napari's notifications; a run and the command it was tell the same."""

    def __init__(self) -> None:
        self._told = ""

    def begin(self) -> None:
        """A run is asked for: what the one before said may be said again."""
        self._told = ""

    def follow(self, event: Event) -> None:
        """Tell what is worth telling."""
        if isinstance(event, Exported):
            show_info(event.words)
        elif isinstance(event, RunStarted) and event.notice:
            show_info(event.notice)
        elif isinstance(event, RunFinished):
            self._told = event.message
            if event.message:
                show = show_error if event.reason is FinishReason.FAILED else show_info
                show(event.message)
        elif isinstance(event, CommandDone):
            if event.message not in ("", self._told):
                show_warning(event.message)
            self._told = ""  # of this command: the next one's failure is news, in whatever words
