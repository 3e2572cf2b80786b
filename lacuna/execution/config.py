"""The settings of a run: typed, and checked on creation."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lacuna.errors import InputError, check_choice, shorten
from lacuna.execution.plugins.file import PluginChoice
from lacuna.images.mask_values import GRADED, check_grading, check_threshold, grading
from lacuna.images.spaces import RESOLUTIONS, world_space
from lacuna.images.support import check_support
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.endpoints import EDGE_MEASURES, RULES
from lacuna.streamlines.files.bundle_tables import check_bundles_label
from lacuna.streamlines.length_limits import check_length_limits
from lacuna.streamlines.null_settings import NEED_REFERENCE, WITHIN, NullSettings
from lacuna.utils.names import check_name

#: the first is the default
ENGINES = ('index', 'mrtrix')
#: settings that need the connections between parcels
CONNECTION_SETTINGS = (
    'compute_disconnectivity_matrix',
    'compute_roi_disconnection',
    'compute_networks',
    'compute_higher_order',
    'compute_mean_lengths',
)
#: value of ``bundles`` that switches bundles off
NO_BUNDLES = 'none'
#: points per step of a streamline; more take time and memory without benefit
_MOST_UPSAMPLE = 1000
ON_EMPTY = ('warn', 'skip', 'error')
#: the first is the default
REPORTS = ('full', 'light', 'none')


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The settings of ``lacuna run snm``, checked on creation.

    Attributes
    ----------
    source : pathlib.Path
        BIDS dataset, or a single mask.
    output_dir : pathlib.Path
    connectome_path : pathlib.Path
        The tractogram.
    connectome_weights : str or None
        Text file with one weight per streamline, or the name of per-streamline values in a ``.trx``.
    min_length, max_length : float or None
        Use only streamlines of these lengths, in mm.
    connectome_space, mask_space : str or None
        Names of the spaces; None to detect them.
    participants, sessions : tuple of str
        Labels without ``sub-`` and ``ses-``; all if empty.
    pattern : str or None
        Glob that the masks' names match.
    bids_filter_file : pathlib.Path or None
        JSON file with filters for pybids.
    chunk : str or None
        ``I/N``: the I-th of N parts of the participants.
    parcel_atlases : tuple of str
        Names of atlases.
    custom_parcellations : tuple of tuple of str
        Name, image, label table and space of each parcellation given as files.
    atlas_dir : pathlib.Path or None
        Folder with your own atlases, with BIDS names.
    compute_disconnectivity_matrix, compute_roi_disconnection : bool
        Whether to write the matrices, and the table of parcels, for each atlas.
    lesion_load : bool
        Whether to write the table of the share of each region that is lesioned.
    compute_networks : bool
        Whether to write the table and the matrix of the atlas's networks.
    compute_higher_order : bool
        Whether to write the matrices and the table of shortest paths that become longer.
    compute_mean_lengths : bool
        Whether to write the matrices of mean streamline length (mm): of all, cut, and spared streamlines.
    edge_measure : str
        What is summed over the streamlines between two parcels; see :class:`lacuna.streamlines.connections.Connections`.
    spared_threshold : float
        Minimum percentage of a connection that must be spared for paths to use it.
    assignment : str
        How the ends of streamlines are assigned to parcels: ``radial``, to the nearest within 4 mm; ``end-voxels``, to
        that of their voxel.
    bundles : tuple of str
        Table of the tractogram's bundles, ``groups`` for those stored in the tractogram, or ``none``; then, optionally,
        their name in file names. If empty, bundles beside or in the tractogram are used.
    null_lesions : int
        Number of null lesions to compare each lesion with; 0 for none.
    null_seed, null_inside, null_within, null_mirrors
        See :class:`lacuna.streamlines.null_settings.NullSettings`.
    null_reference : pathlib.Path or None
        Folder of lesion masks, or a map of lesion frequency, for null lesions within ``reference`` or ``lesions``.
    null_tissues : tuple of str
        Probability maps of grey and white matter, for null lesions within ``tissue``.
    engine : str
        ``index`` or ``mrtrix``; the results are the same.
    output_resolution : int
        Edge of the voxels of the maps in mm.
    tck_upsample : int or None
        Upsampling factor of the streamlines, instead of MRtrix3's rule.
    min_support : int
        Number of streamlines from which the percentage of a voxel counts as supported.
    binarize : float or None
        Threshold above which the values of masks are lesion; None if masks are 0 and 1.
    graded_masks : str
        What to do with masks with values between 0 and 1: ``error``, or ``max``, which cuts each streamline by the
        greatest value along its vertices.
    mask_scale : float
        Divisor of the values of graded masks.
    on_empty : str
        What to do with empty masks: ``warn`` (write a map of zeros), ``skip`` or ``error``.
    nprocs : int
        Number of processors; -1 for all.
    mem_gb : float or None
        Memory in GB; None for what is available.
    use_plugin : lacuna.execution.plugins.file.PluginChoice or None
        Settings of a Nipype plugin, from the file of ``--use-plugin``; None for local processes.
    dask_scheduler : str or None
        Address of a Dask scheduler to run on, such as ``tcp://10.0.0.1:8786``.
    work_dir : pathlib.Path or None
        Folder for intermediate files; None for one derived from the settings.
    report : str
        Report of each participant: ``full``, ``light`` (without the viewer and its sample of streamlines) or ``none``.
    overwrite, dry_run : bool
    verbose : int

    Raises
    ------
    InputError
        If a value is invalid.
    """

    source: Path
    output_dir: Path
    connectome_path: Path
    connectome_weights: str | None = None
    min_length: float | None = None
    max_length: float | None = None
    connectome_space: str | None = None
    mask_space: str | None = None
    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    pattern: str | None = None
    bids_filter_file: Path | None = None
    chunk: str | None = None
    parcel_atlases: tuple[str, ...] = ()
    custom_parcellations: tuple[tuple[str, str, str, str], ...] = ()
    atlas_dir: Path | None = None
    compute_disconnectivity_matrix: bool = False
    compute_roi_disconnection: bool = False
    lesion_load: bool = False
    compute_networks: bool = False
    compute_higher_order: bool = False
    compute_mean_lengths: bool = False
    edge_measure: str = EDGE_MEASURES[0]
    spared_threshold: float = 50.0
    assignment: str = RULES[0]
    bundles: tuple[str, ...] = ()
    null_lesions: int = 0
    null_seed: int = 0
    null_inside: float = 0.95
    null_within: str = WITHIN[0]
    null_mirrors: bool = False
    null_reference: Path | None = None
    null_tissues: tuple[str, ...] = ()
    engine: str = ENGINES[0]
    output_resolution: int = 2
    tck_upsample: int | None = None
    min_support: int = MIN_SUPPORT
    binarize: float | None = None
    graded_masks: str = GRADED[0]
    mask_scale: float = 1.0
    on_empty: str = 'warn'
    nprocs: int = -1
    mem_gb: float | None = None
    use_plugin: PluginChoice | None = None
    dask_scheduler: str | None = None
    work_dir: Path | None = None
    report: str = REPORTS[0]
    overwrite: bool = False
    dry_run: bool = False
    verbose: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ('engine', ENGINES),
            ('on_empty', ON_EMPTY),
            ('report', REPORTS),
            ('assignment', RULES),
            ('edge_measure', EDGE_MEASURES),
            ('null_within', WITHIN),
            ('output_resolution', RESOLUTIONS),
        ):
            check_choice(name, getattr(self, name), choices)
        self._check_execution()
        for name in ('connectome_space', 'mask_space'):
            if (space := getattr(self, name)) is not None:
                world_space(space, name)
        check_threshold(self.binarize)
        check_support(self.min_support)
        check_grading(self.graded_masks, self.mask_scale, self.binarize)
        check_length_limits(self.min_length, self.max_length)
        if self.tck_upsample is not None and not 1 <= self.tck_upsample <= _MOST_UPSAMPLE:
            message = f'tck_upsample is {self.tck_upsample}; give a whole number from 1 to {_MOST_UPSAMPLE}'
            raise InputError(message)
        self._check_regions()
        self._check_nulls()
        self._check_paths()

    def _check_execution(self) -> None:
        if self.chunk is not None and not _is_chunk(self.chunk):
            message = f"chunk is '{self.chunk}'; give I/N, such as 1/4 for the first of four"
            raise InputError(message)
        if self.nprocs == 0 or self.nprocs < -1:
            message = f'nprocs is {self.nprocs}; give a number of processors, or -1 for all'
            raise InputError(message)
        if self.mem_gb is not None and not 0 < self.mem_gb < math.inf:
            message = f'mem_gb is {self.mem_gb}; give the memory to use in gigabytes'
            raise InputError(message)
        if self.dask_scheduler is not None and not re.fullmatch(
            r'[a-z]+://[^\s/]+:\d+/?', self.dask_scheduler
        ):
            message = (
                f"dask_scheduler is '{self.dask_scheduler}'; give an address such as tcp://10.0.0.1:8786"
            )
            raise InputError(message)
        if self.dask_scheduler and self.use_plugin:
            message = 'give --dask-scheduler or --use-plugin, not both'
            raise InputError(message)

    def _check_regions(self) -> None:
        wanted = bool(self.of_connections) or self.lesion_load
        if wanted != bool(self.parcel_atlases or self.custom_parcellations):
            message = (
                'matrices and parcel tables need an atlas: name one with --parcel-atlases or --custom-parcellation'
                if wanted
                else 'nothing is computed from the atlas: add --compute-roi-disconnection, '
                '--compute-disconnectivity-matrix, --lesion-load, --compute-networks, --compute-higher-order '
                'or --compute-mean-lengths'
            )
            raise InputError(message)
        if not 0 < self.spared_threshold <= 100:
            message = f'spared_threshold is {self.spared_threshold}; give a percentage above 0, up to 100'
            raise InputError(message)
        if len(self.bundles) > 2:
            message = (
                f'bundles are {shorten(self.bundles)}; give a table and at most one name for output files'
            )
            raise InputError(message)
        if self.bundles[1:]:
            check_bundles_label(self.bundles[1])

    def _check_paths(self) -> None:
        paths = (self.source, self.output_dir, self.connectome_path, self.work_dir, self.atlas_dir)
        for path in (
            *paths,
            self.bids_filter_file,
            self.null_reference,
            *self.null_tissues,
            *self.bundles[:1],
        ):
            check_name(path or '')
        for _, image, labels, _ in self.custom_parcellations:
            check_name(image)
            check_name(labels)

    def _check_nulls(self) -> None:
        changed = [
            name
            for name, field in RunConfig.__dataclass_fields__.items()
            if name.startswith('null_') and getattr(self, name) != field.default
        ]
        if changed and not self.null_lesions:
            message = f'--{changed[0].replace("_", "-")} is a setting of null lesions: add --null-lesions'
            raise InputError(message)
        if not self.null_lesions:
            return
        NullSettings(n=self.null_lesions, seed=self.null_seed, inside=self.null_inside)
        if (self.null_within in NEED_REFERENCE) != (self.null_reference is not None):
            message = f'use --null-reference together with --null-within {" or ".join(NEED_REFERENCE)}'
            raise InputError(message)
        if self.null_tissues and (self.null_within != 'tissue' or len(self.null_tissues) != 2):
            message = (
                'use --null-tissues, two maps of grey and of white matter, together with --null-within tissue'
            )
            raise InputError(message)
        if self.null_within == 'lesions' and self.grading is not None:
            message = '--null-within lesions needs binary masks, so it cannot be used with --graded-masks'
            raise InputError(message)
        if self.engine != ENGINES[0]:
            message = f'null lesions are not computed with --engine {self.engine}: a thousand of them would take days'
            raise InputError(message)

    @property
    def grading(self) -> float | None:
        """The `mask_scale` for :func:`lacuna.images.masks.read_mask`; None if graded masks are refused."""
        return grading(self.graded_masks, self.mask_scale)

    @property
    def of_connections(self) -> tuple[str, ...]:
        """The enabled settings that need the connections between parcels."""
        return tuple(name for name in CONNECTION_SETTINGS if getattr(self, name))

    @property
    def lesions(self) -> Path:
        """The folder of the masks."""
        return self.source if self.source.is_dir() else self.source.parent

    def settings(self) -> str:
        """Return the command that must agree between runs into one output folder; it does not depend on the masks."""
        return dataclasses.replace(
            self, source=self.lesions, pattern=None, bids_filter_file=None
        ).command_line()

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values: paths as text, without None."""
        plain: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if isinstance(value, PluginChoice):
                value = value.path
            if value is not None:
                plain[name] = str(value) if isinstance(value, Path) else value
        return plain

    def to_toml(self) -> str:
        """Return the settings as TOML."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def command_line(self, participant: str | None = None) -> str:
        """Return the command that reproduces the results, without options that do not affect them.

        >>> run = RunConfig(source=Path('bids'), output_dir=Path('out'), connectome_path=Path('t.tck'))
        >>> run.command_line('01')
        'lacuna run snm bids out --connectome-path t.tck --participant-label 01 --output-resolution 2'
        """
        words = ['lacuna', 'run', 'snm', str(self.source), str(self.output_dir)]
        options = {
            '--connectome-path': self.connectome_path,
            '--connectome-weights': self.connectome_weights,
            '--min-length': self.min_length,
            '--max-length': self.max_length,
            '--connectome-space': self.connectome_space,
            '--mask-space': self.mask_space,
            '--participant-label': participant,
            '--pattern': self.pattern,
            '--binarize': self.binarize,
            '--graded-masks': None if self.grading is None else self.graded_masks,
            '--mask-scale': None if self.mask_scale == 1 else self.mask_scale,
            '--bids-filter-file': self.bids_filter_file,
            '--output-resolution': self.output_resolution,
            '--tck-upsample': self.tck_upsample,
            '--min-support': self.min_support if self.min_support != MIN_SUPPORT else None,
            '--engine': self.engine if self.engine != ENGINES[0] else None,
        }
        for option, value in options.items():
            if value is not None:
                words += [option, str(value)]
        if self.parcel_atlases:
            words += ['--parcel-atlases', *self.parcel_atlases]
        for custom in self.custom_parcellations:
            words += ['--custom-parcellation', *custom]
        if self.atlas_dir:
            words += ['--atlas-dir', str(self.atlas_dir)]
        for name in (*CONNECTION_SETTINGS, 'lesion_load'):
            if getattr(self, name):
                words.append(f'--{name.replace("_", "-")}')
        if self.compute_higher_order:
            words += ['--spared-threshold', f'{self.spared_threshold:g}']
        if self.edge_measure != EDGE_MEASURES[0]:
            words += ['--edge-measure', self.edge_measure]
        if self.assignment != RULES[0]:
            words += ['--assignment', self.assignment]
        if self.bundles:
            words += ['--bundles', *self.bundles]
        if self.null_lesions:
            words += self._null_words()
        return shlex.join(words)

    def _null_words(self) -> list[str]:
        words = ['--null-lesions', str(self.null_lesions), '--null-seed', str(self.null_seed)]
        words += ['--null-inside', f'{self.null_inside:g}', '--null-within', self.null_within]
        words += ['--null-mirrors'] if self.null_mirrors else []
        words += ['--null-reference', str(self.null_reference)] if self.null_reference else []
        return words + (['--null-tissues', *self.null_tissues] if self.null_tissues else [])


def _is_chunk(text: str) -> bool:
    """Whether a text is I/N, with I from 1 to N.

    >>> [_is_chunk(text) for text in ('1/4', '4/4', '0/4', '5/4', '1/', 'a/b')]
    [True, True, False, False, False, False]
    """
    matched = re.fullmatch(r'(\d{1,9})/(\d{1,9})', text, re.ASCII)
    return matched is not None and 1 <= int(matched[1]) <= int(matched[2])
