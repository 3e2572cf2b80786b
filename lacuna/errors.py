"""The errors that Lacuna raises, each with one clear line (what, which file, what to do), and exit codes."""

from __future__ import annotations

from collections.abc import Collection

#: everything is done
EXIT_DONE = 0
#: at least one mask failed
EXIT_FAILED = 1
#: wrong usage, or input that stops the run before any work
EXIT_USAGE = 2
#: by Ctrl-C, or by what a scheduler sends
EXIT_INTERRUPTED = 130


class LacunaError(Exception):
    """An error that the user can fix; shown as one line, without a traceback."""


class InputError(LacunaError):
    """Wrong usage, or input that stops the run before any work (exit code 2)."""


class TractogramError(InputError):
    """The tractogram cannot be read or used."""


class StreamlineIndexError(InputError):
    """A streamline index cannot be built, or is damaged, stale or of another tractogram."""


class MaskError(LacunaError):
    """One mask cannot be used; the others continue (exit code 1)."""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Refuse a value that is not one of the choices.

    >>> check_choice('engine', 'index', ('index', 'mrtrix'))

    Raises
    ------
    InputError
    """
    if value not in choices:
        message = f'{name} is {value!r}; choose from {", ".join(map(str, choices))}'
        raise InputError(message)


def shorten(value: object) -> str:
    """Shorten the content of a file for a message: a damaged one may hold a million characters.

    >>> shorten('x' * 1000)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:60]}...'


def reason_of(error: BaseException) -> str:
    """What an error says, in one line; its type if it says nothing.

    >>> reason_of(ValueError('no\\n  number')), reason_of(MemoryError())
    ('no number', 'MemoryError')
    """
    return ' '.join(str(error).split()) or type(error).__name__
