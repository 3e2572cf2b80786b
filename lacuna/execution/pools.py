"""Pools for the tasks of a run: processes of this machine, or Dask workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from lacuna.execution.plugins.local import LocalPool, Outcome
from lacuna.utils.processes import processors

if TYPE_CHECKING:
    from lacuna.execution.config import RunConfig
    from lacuna.execution.plugins.dask import DaskPool

#: fewer masks are processed one after the other, because workers would take longer to start
_MANY = 10
#: GB per mask, besides its part of the index
_MASK_GB = 0.5
#: GB per mask with null lesions, which need Fourier transforms of brain images
_NULLS_GB = 1.0


class Pool(Protocol):
    """Executes tasks, here or on other machines."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function where the tasks are executed, and return its result."""

    def run(self, function: Callable[..., object], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Outcome]:
        """Call a function with each tuple of arguments; yield outcomes as tasks end."""


class Pools(ExitStack):
    """Create the pool of a run, and close it at the end of the block; Dask is started on first use.

    Parameters
    ----------
    config : lacuna.execution.config.RunConfig
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self._config = config
        self._dask: DaskPool | None = None

    @property
    def is_remote(self) -> bool:
        """Whether tasks may run on other machines."""
        plugin = self._config.use_plugin
        return bool(self._config.dask_scheduler or (plugin and plugin.is_dask))

    def dask(self) -> DaskPool:
        """The Dask pool.

        Raises
        ------
        InputError
            If there is no scheduler, or none can be started.
        """
        from lacuna.execution.plugins.dask import at_scheduler, on_cluster

        if self._dask is None:
            plugin, address = self._config.use_plugin, self._config.dask_scheduler
            context = (
                on_cluster(plugin.args, self._config.output_dir / 'logs' / 'jobs')
                if plugin
                else at_scheduler(str(address), one_thread=self._config.engine == 'mrtrix')
            )
            self._dask = self.enter_context(context)
        return self._dask

    def for_masks(self, masks: int) -> tuple[Pool | None, int]:
        """Return the pool for this number of masks and the threads per mask; no pool with a Nipype plugin."""
        config, nprocs = self._config, processors(self._config.nprocs)
        if self.is_remote:
            return self.dask(), nprocs if config.engine == 'mrtrix' else 1
        size = config.connectome_path.stat().st_size
        each = _NULLS_GB if config.null_lesions else _MASK_GB
        workers = choose_workers(config.engine, nprocs, max(masks, 1), size, config.mem_gb, each)
        return None if config.use_plugin else LocalPool(workers), max(1, nprocs // workers)


def choose_workers(
    engine: str,
    nprocs: int,
    masks: int,
    tractogram_bytes: int,
    mem_gb: float | None = None,
    mask_gb: float = _MASK_GB,
) -> int:
    """Return how many masks to process at the same time; they share the processors.

    A few masks are faster one after the other with all processors than workers start: a query of an index takes a
    fraction of a second, and MRtrix3 reads a small tractogram in one.

    >>> choose_workers('index', 8, 3, 15 * 10**9), choose_workers('index', 8, 40, 10**8)
    (1, 8)
    >>> choose_workers('mrtrix', 8, 3, 15 * 10**9), choose_workers('mrtrix', 8, 3, 10**8)
    (3, 1)
    >>> choose_workers('index', 8, 40, 10**8, mem_gb=1.5)
    3
    """
    pays = masks >= _MANY if engine == 'index' else masks >= 2 * nprocs or tractogram_bytes > 10**9
    most = min(nprocs, masks) if pays else 1
    return most if mem_gb is None else max(1, min(most, int(mem_gb / mask_gb)))
