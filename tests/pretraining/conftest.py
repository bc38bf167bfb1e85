from engine_worlds import one_thread

__all__ = ["one_thread"]
