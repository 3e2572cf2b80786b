"""Base of the nodes whose file may be in a cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nipype.interfaces.base import SimpleInterface

from lacuna.utils.cache import cached


class _CachedInterface(SimpleInterface):
    """Write one file: into the folder of the node or, if its path is absolute, once into a cache.

    With a cache, the node always runs, and uses an existing file: Nipype would not notice that the file was removed.
    """

    #: name of the input with the path, and of the output
    _field = 'out_file'

    @property
    def always_run(self) -> bool:
        """Whether the file is in a cache."""
        return Path(getattr(self.inputs, self._field)).is_absolute()

    def _write(self, runtime: Any, make: Callable[[Path], object]) -> None:
        target = Path(runtime.cwd, getattr(self.inputs, self._field))
        if self.always_run:
            cached(target, lambda: make(target))
        else:
            make(target)
        self._results[self._field] = str(target)
