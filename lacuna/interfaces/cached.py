"""Nodes whose file may belong to a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class FileInCache:
    """For a node that writes its file with `lacuna.utils.cache.cached_or_local`.

    If the path is absolute, the cache decides whether the file is made again, and not Nipype, which does not know whether
    it is damaged.
    """

    inputs: Any
    _cached = 'out_file'

    @property
    def always_run(self) -> bool:
        """Whether Nipype runs the node in any case."""
        return Path(getattr(self.inputs, self._cached)).is_absolute()
