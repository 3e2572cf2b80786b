"""Structural lesion network mapping of one mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.images.mask_values import GRADED, check_grading, grading
from lacuna.images.masks import KnownMask
from lacuna.interfaces.images import DisconnectionMap, PrepareMask, SummaryStatistics
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.endpoints import EDGE_MEASURES
from lacuna.workflows import methods
from lacuna.workflows.bundles import BUNDLE_FIELDS, init_bundles_wf
from lacuna.workflows.connectivity import CONNECTIVITY_FIELDS, check_atlas_names, init_connectivity_wf
from lacuna.workflows.literate import Workflow
from lacuna.workflows.load import LOAD_FIELDS, init_load_wf
from lacuna.workflows.resources import SMALL
from lacuna.workflows.selection import ENGINE_FIELDS, init_selection_wf


def init_snm_wf(
    *,
    engine: str = 'index',
    density: bool = True,
    atlases: Sequence[str] = (),
    connectivity: Sequence[str] = CONNECTIVITY_FIELDS,
    networks: Mapping[str, Sequence[str]] = MappingProxyType({}),
    spared_threshold: float = 50.0,
    edge_measure: str = EDGE_MEASURES[0],
    load: Sequence[str] = (),
    bundles: Sequence[str] = (),
    most_sampled: int = 0,
    weighted: bool = False,
    tck_upsample: int | None = None,
    binarize: float | None = None,
    graded_masks: str = GRADED[0],
    mask_scale: float = 1.0,
    packed: KnownMask | None = None,
    warnings: Sequence[str] = (),
    min_support: int = MIN_SUPPORT,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'snm_wf',
) -> Workflow:
    """Compute the disconnection by one lesion: of voxels, of connections between parcels, and of bundles.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.snm import init_snm_wf

            wf = init_snm_wf(atlases=['schaefer'])

    Parameters
    ----------
    engine : str
        ``index`` or ``mrtrix``; the results are the same. See :func:`lacuna.workflows.selection.init_selection_wf`.
    density : bool
        Whether to compute the disconnection map and its summary.
    atlases : sequence of str
        Names (letters and digits) of the parcellations for connectivity.
    connectivity : sequence of str
        Outputs for each of these parcellations, see :func:`lacuna.workflows.connectivity.init_connectivity_wf`.
    networks : mapping
        Network of each parcel, by name of the parcellation; for outputs about networks.
    spared_threshold : float
        Minimum percentage of a connection that must be spared for paths to use it; for outputs about paths.
    edge_measure : str
        What is summed over the streamlines between two parcels, see
        :func:`lacuna.workflows.connectivity.init_connectivity_wf`.
    load : sequence of str
        Names of the atlases for lesion load.
    bundles : sequence of str
        Names of the sets of bundles, usually one.
    most_sampled : int
        Number of streamlines in the sample of those cut, for :func:`lacuna.workflows.report.init_snm_report_wf`; 0 for
        none.
    weighted : bool
        With the engine ``mrtrix``: whether streamlines are weighted.
    tck_upsample : int, optional
        Upsampling factor instead of MRtrix3's rule; must be that of the full density. (An index keeps the factor with
        which it was built.)
    binarize : float, optional
        Threshold above which values of the mask are lesion; by default, the mask must be binary.
    graded_masks : str
        What to do with values between 0 and 1. ``error``: refuse the mask; ``max``: cut each streamline by the greatest
        value along its vertices.
    mask_scale : float
        Divisor of the values of a graded mask.
    packed : lacuna.images.masks.PackedMask or lacuna.images.masks.UnreadMask, optional
        The mask, if already read; its file is not opened again.
    warnings : sequence of str
        Warnings about mask and tractogram, included in the summary; see ``lacuna.images.plausibility``.
    min_support : int
        Number of streamlines from which the percentage of a voxel counts as supported, in the summary.
    omp_nthreads : int
        Number of threads for the selection.
    mem_gb : float
        Memory in GB of nodes that process streamlines, see :mod:`lacuna.workflows.resources`.
    name : str

    Raises
    ------
    lacuna.errors.InputError
        If the name of an atlas is not alphanumeric, or is used twice.

    Inputs
    ------
    mask
        Lesion mask on any grid of the tractogram's space.
    tracks
        Tractogram (``.tck``).
    full_tdi
        Density of the tractogram, see :func:`lacuna.workflows.connectome.init_connectome_wf`; defines the grid of the
        outputs.
    counts
        Number of streamlines in each voxel, from the same workflow; needed for support if streamlines are weighted.
    streamlines_total
        Number of streamlines of the tractogram, from the same workflow.
    index
        Index of the tractogram, from the same workflow; with the engine ``index`` only.
    numbers
        Indices of the streamlines, see :class:`lacuna.interfaces.connectivity.NumberStreamlines`; with the engine
        ``mrtrix`` only.
    weighting
        Weights and lengths of the streamlines, and which to use, from
        :class:`lacuna.interfaces.streamlines.WeighStreamlines`; by default all, with weight 1.
    endpoints_<atlas>
        Endpoint table of each atlas, from :func:`lacuna.workflows.connectivity.init_parcellation_wf`.
    regions_<atlas>
        Voxels of each atlas in `load`, from :class:`lacuna.interfaces.images.PrepareRegions`.
    bundles_<name>
        Bundles and their voxels, from :func:`lacuna.workflows.bundles.init_bundle_set_wf`.

    Outputs
    -------
    mask
        The mask on its own grid: binary, or graded from 0 to 1 (float32).
    selected
        Indices of the streamlines with a vertex in the mask (``.npy``, or text); for a graded mask, with how strongly
        it cuts each (``.npz``).
    lesion_tdi
        Density of the selected streamlines.
    disconnection_map
        ``100 * lesion_tdi / full_tdi`` in percent, 0 where there are no streamlines.
    summary
        Statistics as JSON.
    sample
        Sample of the streamlines cut (``.tck``); if `most_sampled`.
    disconnection_matrix_<atlas>, mask_matrix_<atlas>, ...
        Outputs of :func:`lacuna.workflows.connectivity.init_connectivity_wf` for each atlas.
    lesion_load_<atlas>, lesion_probability_<atlas>
        Outputs of :func:`lacuna.workflows.load.init_load_wf` for each atlas in `load`.
    bundle_disconnection_<name>, sample_bundles_<name>
        Outputs of :func:`lacuna.workflows.bundles.init_bundles_wf`.
    """
    check_grading(graded_masks, mask_scale, binarize)
    for names in (atlases, load, bundles):
        check_atlas_names(names)
    workflow = Workflow(name=name)
    own = ENGINE_FIELDS[engine]
    parts = []
    for atlas in atlases:
        part = init_connectivity_wf(
            outputs=connectivity,
            networks=networks.get(atlas, ()),
            spared_threshold=spared_threshold,
            edge_measure=edge_measure,
            mem_gb=mem_gb,
            name=f'connectivity_{atlas}_wf',
        )
        parts.append(_Part(part, atlas, 'endpoints', 'selected', tuple(connectivity)))
    for atlas in load:
        part = init_load_wf(name=f'load_{atlas}_wf')
        parts.append(_Part(part, atlas, 'regions', 'mask', LOAD_FIELDS))
    for each in bundles:
        part = init_bundles_wf(most_sampled=most_sampled, name=f'bundles_{each}_wf')
        parts.append(_Part(part, each, 'bundles', 'selected', BUNDLE_FIELDS))
    fields = ['mask', 'tracks', 'full_tdi', 'counts', 'streamlines_total', 'weighting', *own]
    fields += [f'{part.table}_{part.name}' for part in parts]
    results = ['mask', 'selected', 'lesion_tdi', 'disconnection_map', 'summary', 'sample']
    results += [f'{field}_{part.name}' for part in parts for field in part.results]
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=results), name='outputnode')
    prepare = pe.Node(PrepareMask(), name='prepare', mem_gb=SMALL)
    if binarize is not None:
        prepare.inputs.binarize = binarize
    if (scale := grading(graded_masks, mask_scale)) is not None:
        prepare.inputs.mask_scale = scale
    if packed is not None:
        prepare.inputs.packed = packed
    workflow.connect([
        (inputnode, prepare, [('mask', 'in_file')]),
        (prepare, outputnode, [('out_file', 'mask')]),
    ])  # fmt: skip
    for part in parts:
        workflow.connect([
            (inputnode, part.workflow, [(f'{part.table}_{part.name}', f'inputnode.{part.table}')]),
            (part.workflow, outputnode, [(f'outputnode.{field}', f'{field}_{part.name}') for field in part.results]),
        ])  # fmt: skip
        if part.of == 'mask' or part.table == 'bundles':
            workflow.connect([(prepare, part.workflow, [('out_file', 'inputnode.mask')])])
    if not (density or atlases or bundles or most_sampled):
        return workflow  # lesion load needs no streamlines
    selection = init_selection_wf(
        engine=engine,
        density=density,
        weighted=weighted,
        graded=scale is not None,
        most_sampled=most_sampled,
        tck_upsample=tck_upsample,
        omp_nthreads=omp_nthreads,
        mem_gb=mem_gb,
    )
    workflow.connect([
        (inputnode, selection, [(field, f'inputnode.{field}') for field in ('tracks', 'full_tdi', 'weighting', *own)]),
        (prepare, selection, [('out_file', 'inputnode.mask'), ('inside', 'inputnode.inside')]),
        (selection, outputnode, [(f'outputnode.{field}', field) for field in ('selected', 'lesion_tdi', 'sample')]),
    ])  # fmt: skip
    for part in parts:
        if part.of == 'selected':
            workflow.connect([
                (selection, part.workflow, [('outputnode.selected', 'inputnode.selected')]),
                (inputnode, part.workflow, [('weighting', 'inputnode.weighting')]),
            ])  # fmt: skip
    if density:
        part = init_density_wf(warnings=warnings, min_support=min_support)
        workflow.connect([
            (inputnode, part, [('full_tdi', 'inputnode.full_tdi'), ('weighting', 'inputnode.weighting'),
                               ('counts', 'inputnode.counts'),
                               ('streamlines_total', 'inputnode.streamlines_total')]),
            (prepare, part, [('out_file', 'inputnode.mask')]),
            (selection, part, [('outputnode.lesion_tdi', 'inputnode.lesion_tdi'),
                               ('outputnode.selected', 'inputnode.selected'),
                               ('outputnode.count', 'inputnode.streamlines_disconnected')]),
            (part, outputnode, [(f'outputnode.{field}', field) for field in ('disconnection_map', 'summary')]),
        ])  # fmt: skip
    return workflow


@dataclass(frozen=True)
class _Part:
    """Workflow of an atlas or of bundles: its name, its table, the input from the lesion, and its outputs."""

    workflow: Workflow
    name: str
    table: str
    of: str
    results: tuple[str, ...]


def init_density_wf(
    *, warnings: Sequence[str] = (), min_support: int = MIN_SUPPORT, name: str = 'density_wf'
) -> Workflow:
    """Compute the disconnection map and its summary from the streamlines that a lesion cuts.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.snm import init_density_wf

            wf = init_density_wf()

    Parameters
    ----------
    warnings, min_support
        See :func:`init_snm_wf`.
    name : str

    Inputs
    ------
    mask
        The prepared mask.
    lesion_tdi
        Density of the streamlines cut.
    streamlines_disconnected
        Number of streamlines cut.
    full_tdi, counts, streamlines_total
        See :func:`init_snm_wf`.
    selected, weighting
        The streamlines cut, and weights and lengths of all, for the summary; optional.

    Outputs
    -------
    disconnection_map, summary
        See :func:`init_snm_wf`.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.ratio()
    fields = ['mask', 'lesion_tdi', 'streamlines_disconnected', 'full_tdi', 'streamlines_total']
    fields += ['counts', 'selected', 'weighting']
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['disconnection_map', 'summary']), name='outputnode')
    ratio = pe.Node(DisconnectionMap(), name='ratio', mem_gb=SMALL)
    statistics = SummaryStatistics(warnings=list(warnings), min_support=min_support)
    summary = pe.Node(statistics, name='summary', mem_gb=SMALL)
    workflow.connect([
        (inputnode, ratio, [('lesion_tdi', 'lesion_tdi'), ('full_tdi', 'full_tdi')]),
        (inputnode, summary, [('mask', 'in_mask'), ('full_tdi', 'full_tdi'),
                              ('counts', 'counts'), ('selected', 'selected'), ('weighting', 'weighting'),
                              ('streamlines_total', 'streamlines_total'),
                              ('streamlines_disconnected', 'streamlines_disconnected')]),
        (ratio, summary, [('out_file', 'disconnection_map')]),
        (ratio, outputnode, [('out_file', 'disconnection_map')]),
        (summary, outputnode, [('out_file', 'summary')]),
    ])  # fmt: skip
    return workflow
