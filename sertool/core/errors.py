"""What can go wrong that is the caller's to mend, each with one line that says so."""


class SertoolError(Exception):
    """An error whose message is one line a user can act on: what was found, what was expected, what to do."""

    exit_code = 2


class InputError(SertoolError):
    """Something the user gave (a file, a flag, a recipe) cannot be used as it is."""


class AudioError(InputError):
    """A file that cannot be used as audio."""


class OutputError(SertoolError):
    """A file that cannot be written: the disk is full, or the folder refuses."""


class CacheError(SertoolError):
    """A cache that cannot be read or written: no fault of the utterance that was asked for."""
