"""Lacuna's errors, each with a message of one line (what, which file, what to do), and exit codes."""

from __future__ import annotations

from collections.abc import Collection

#: everything succeeded
EXIT_DONE = 0
#: at least one mask failed
EXIT_FAILED = 1
#: wrong usage, or input that stops the run before any work
EXIT_USAGE = 2
#: interrupted by Ctrl-C or by a scheduler
EXIT_INTERRUPTED = 130


class LacunaError(Exception):
    """An error that the user can fix, shown as one line without traceback."""


class InputError(LacunaError):
    """Wrong usage, or input that stops the run before any work (exit code 2)."""


class TractogramError(InputError):
    """The tractogram is unreadable or unusable."""


class StreamlineIndexError(InputError):
    """A streamline index cannot be built, or is damaged, outdated or of another tractogram."""


class MaskError(LacunaError):
    """A mask is unusable; other masks continue (exit code 1)."""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise an error if a value is not one of the choices.

    >>> check_choice('engine', 'index', ('index', 'mrtrix'))

    Raises
    ------
    InputError
    """
    if value not in choices:
        message = f'{name} is {value!r}; choose from {", ".join(map(str, choices))}'
        raise InputError(message)


def shorten(value: object) -> str:
    """Shorten the content of a file for a message; a damaged file may contain a million characters.

    >>> shorten('x' * 1000)
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:60]}...'


def reason_of(error: BaseException, file: object = None) -> str:
    """Return the message of an error in one line; its type if it has none.

    Errors of the operating system include the path, unless it is `file`, which the caller names.

    >>> reason_of(ValueError('no\\n  number')), reason_of(MemoryError())
    ('no number', 'MemoryError')
    >>> missing = FileNotFoundError(2, 'No such file or directory', 'scores.tsv')
    >>> reason_of(missing), reason_of(missing, 'scores.tsv')
    ('No such file or directory: scores.tsv', 'No such file or directory')
    """
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        elsewhere = error.filename is not None and str(error.filename) != str(file)
        said = f'{error.strerror}: {error.filename}' if elsewhere else error.strerror
    return ' '.join(said.split()) or type(error).__name__
