"""Start a run from Python, with plain values as settings and without side effects on the process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lacuna.execution.config import RunConfig
from lacuna.execution.environment import process_as_it_was
from lacuna.execution.execute import run_config
from lacuna.execution.messages import passing_to_callers
from lacuna.execution.several import SeveralConfig, any_config, run_several

if TYPE_CHECKING:
    from lacuna.execution.result import RunResult

#: working directory and environment belong to the whole process: runs in other threads wait
_ONE_RUN = threading.Lock()


def run(
    source: str | Path,
    output_dir: str | Path,
    *,
    connectome_path: str | Path | Sequence[str | Path],
    **settings: Any,
) -> RunResult:
    """Compute the disconnection of each mask of a dataset, as ``lacuna run snm`` does.

    Nothing is printed and no signal is handled: warnings go to the logger ``lacuna``, and failures are in the result.
    The working directory and the environment are restored at the end. Runs in several threads wait for each other.

    Parameters
    ----------
    source : str or pathlib.Path
        BIDS dataset, or a single mask.
    output_dir : str or pathlib.Path
        Folder of the results. Existing results with the same settings are kept.
    connectome_path : str, pathlib.Path, or a sequence of them
        Tractogram, or the name of one that was fetched. With several tractograms, one run is made with each, and the
        returned result is that of their combination.
    **settings
        Other attributes of :class:`lacuna.execution.config.RunConfig`, such as ``parcel_atlases`` or ``nprocs``.

    Returns
    -------
    lacuna.execution.result.RunResult

    Raises
    ------
    lacuna.errors.InputError
        If an input or a setting cannot be used. Failures of single masks are in ``failures`` instead.
    """
    if unknown := settings.keys() - RunConfig.__dataclass_fields__.keys():
        message = f'run() has no setting {", ".join(sorted(unknown))}; see RunConfig for its settings'
        raise TypeError(message)
    values = {'source': source, 'output_dir': output_dir, 'connectome_path': connectome_path, **settings}
    with _ONE_RUN, passing_to_callers(), process_as_it_was():
        return run_any(any_config(values))


def run_any(config: RunConfig | SeveralConfig, *, show: bool = False) -> RunResult:
    """Run with these settings; `show` enables progress bars and, with ``verbose``, the output of MRtrix3."""
    if isinstance(config, SeveralConfig):
        return run_several(config, show=show)
    return run_config(config, show=show)
