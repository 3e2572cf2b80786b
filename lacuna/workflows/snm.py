"""Structural lesion network mapping of one mask."""

from __future__ import annotations

from collections.abc import Sequence

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from niworkflows.engine.workflows import LiterateWorkflow as Workflow

from lacuna.images.masks import KnownMask
from lacuna.interfaces.images import DisconnectionMap, PrepareMask, SummaryStatistics
from lacuna.workflows.connectivity import CONNECTIVITY_FIELDS, check_atlas_names, init_connectivity_wf
from lacuna.workflows.resources import SMALL
from lacuna.workflows.selection import ENGINE_FIELDS, init_selection_wf


def init_snm_wf(
    *,
    engine: str = 'index',
    density: bool = True,
    atlases: Sequence[str] = (),
    most_sampled: int = 0,
    tck_upsample: int | None = None,
    binarize: float | None = None,
    packed: KnownMask | None = None,
    warnings: Sequence[str] = (),
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'snm_wf',
) -> Workflow:
    """Compute the share of each voxel's streamlines, and of the connections between parcels, that a lesion cuts.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.snm import init_snm_wf

            wf = init_snm_wf(atlases=['schaefer'])

    Parameters
    ----------
    engine : str
        ``index`` or ``mrtrix``, with the same result; see :func:`lacuna.workflows.selection.init_selection_wf`.
    density : bool
        Whether to make the disconnection map and its summary.
    atlases : sequence of str
        Names (letters and digits) of the parcellations for the connections.
    most_sampled : int
        Streamlines of the sample of those cut, for :func:`lacuna.workflows.report.init_snm_report_wf`; 0 for none.
    tck_upsample : int, optional
        Overrides MRtrix3's rule for the upsampling of streamlines; has to be that of the full density. (An index keeps
        the factor it was built with.)
    binarize : float, optional
        Values of the mask above this are lesion; by default, the mask has to be 0 and 1.
    packed : lacuna.images.masks.PackedMask or lacuna.images.masks.UnreadMask, optional
        The mask, if it was already read: its file is not opened again.
    warnings : sequence of str
        Warnings about mask and tractogram, for the summary; see ``lacuna.images.plausibility``.
    omp_nthreads : int
        Threads of the selection.
    mem_gb : float
        Memory of the nodes that process streamlines, see :mod:`lacuna.workflows.resources`.
    name : str

    Raises
    ------
    lacuna.errors.InputError
        If the name of an atlas is not only letters and digits, or is used twice.

    Inputs
    ------
    mask
        Binary lesion mask on any grid of the tractogram's space.
    tracks
        Tractogram (``.tck``).
    full_tdi
        Its density, see :func:`lacuna.workflows.connectome.init_connectome_wf`; the outputs have its grid.
    streamlines_total
        Number of its streamlines, from the same workflow.
    index
        Its index, from the same workflow; with the engine ``index`` only.
    numbers
        Their numbers, see :class:`lacuna.interfaces.connectivity.NumberStreamlines`; with the engine ``mrtrix`` and
        `atlases` only.
    endpoints_<atlas>
        For each atlas, from :func:`lacuna.workflows.connectivity.init_parcellation_wf`.

    Outputs
    -------
    mask
        The mask as 0 and 1, on its own grid.
    selected
        Numbers of the streamlines with a vertex in the mask (``.npy``, or text); not without `atlases` if the
        engine is ``mrtrix``.
    lesion_tdi
        Their density.
    disconnection_map
        ``100 * lesion_tdi / full_tdi`` in percent, 0 where there are no streamlines.
    summary
        Statistics as JSON.
    sample
        Some of the streamlines cut (``.tck``); if `most_sampled`.
    disconnection_matrix_<atlas>, mask_matrix_<atlas>, ...
        For each atlas, the outputs of :func:`lacuna.workflows.connectivity.init_connectivity_wf`.
    """
    check_atlas_names(atlases)
    workflow = Workflow(name=name)
    fields = ['mask', 'tracks', 'full_tdi', 'streamlines_total']
    fields += [*engine_fields(engine, atlases), *(f'endpoints_{atlas}' for atlas in atlases)]
    results = ['mask', 'selected', 'lesion_tdi', 'disconnection_map', 'summary', 'sample']
    results += [f'{field}_{atlas}' for atlas in atlases for field in CONNECTIVITY_FIELDS]
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=results), name='outputnode')
    prepare = pe.Node(PrepareMask(), name='prepare', mem_gb=SMALL)
    if binarize is not None:
        prepare.inputs.binarize = binarize
    if packed is not None:
        prepare.inputs.packed = packed
    selection = init_selection_wf(
        engine=engine,
        density=density,
        numbered=bool(atlases),
        most_sampled=most_sampled,
        tck_upsample=tck_upsample,
        omp_nthreads=omp_nthreads,
        mem_gb=mem_gb,
    )
    workflow.connect([
        (inputnode, prepare, [('mask', 'in_file')]),
        (inputnode, selection, [(field, f'inputnode.{field}')
                                for field in ('tracks', 'full_tdi', *engine_fields(engine, atlases))]),
        (prepare, selection, [('out_file', 'inputnode.mask')]),
        (prepare, outputnode, [('out_file', 'mask')]),
        (selection, outputnode, [(f'outputnode.{field}', field) for field in ('selected', 'lesion_tdi', 'sample')]),
    ])  # fmt: skip
    if density:
        part = init_density_wf(warnings=warnings)
        workflow.connect([
            (inputnode, part, [('full_tdi', 'inputnode.full_tdi'),
                               ('streamlines_total', 'inputnode.streamlines_total')]),
            (prepare, part, [('out_file', 'inputnode.mask')]),
            (selection, part, [('outputnode.lesion_tdi', 'inputnode.lesion_tdi'),
                               ('outputnode.count', 'inputnode.streamlines_disconnected')]),
            (part, outputnode, [(f'outputnode.{field}', field) for field in ('disconnection_map', 'summary')]),
        ])  # fmt: skip
    for atlas in atlases:
        part = init_connectivity_wf(mem_gb=mem_gb, name=f'connectivity_{atlas}_wf')
        workflow.connect([
            (inputnode, part, [(f'endpoints_{atlas}', 'inputnode.endpoints')]),
            (selection, part, [('outputnode.selected', 'inputnode.selected')]),
            (part, outputnode, [(f'outputnode.{field}', f'{field}_{atlas}') for field in CONNECTIVITY_FIELDS]),
        ])  # fmt: skip
    return workflow


def engine_fields(engine: str, atlases: Sequence[str]) -> tuple[str, ...]:
    """The inputs of one engine: its index, or (with atlases) the numbers of the streamlines."""
    return ENGINE_FIELDS[engine] if engine == 'index' or atlases else ()


def init_density_wf(*, warnings: Sequence[str] = (), name: str = 'density_wf') -> Workflow:
    """Compute the disconnection map from the streamlines that a lesion cuts, and its summary.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.snm import init_density_wf

            wf = init_density_wf()

    Parameters
    ----------
    warnings : sequence of str
        See :func:`init_snm_wf`.
    name : str

    Inputs
    ------
    mask
        The mask as 0 and 1.
    lesion_tdi
        Density of the streamlines that it cuts.
    streamlines_disconnected
        Their number.
    full_tdi, streamlines_total
        See :func:`init_snm_wf`.

    Outputs
    -------
    disconnection_map, summary
        See :func:`init_snm_wf`.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = (
        'The voxel-wise disconnection is their share of all streamlines of the voxel, in percent. '
    )
    fields = ['mask', 'lesion_tdi', 'streamlines_disconnected', 'full_tdi', 'streamlines_total']
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['disconnection_map', 'summary']), name='outputnode')
    ratio = pe.Node(DisconnectionMap(), name='ratio', mem_gb=SMALL)
    summary = pe.Node(SummaryStatistics(warnings=list(warnings)), name='summary', mem_gb=SMALL)
    workflow.connect([
        (inputnode, ratio, [('lesion_tdi', 'lesion_tdi'), ('full_tdi', 'full_tdi')]),
        (inputnode, summary, [('mask', 'in_mask'), ('full_tdi', 'full_tdi'),
                              ('streamlines_total', 'streamlines_total'),
                              ('streamlines_disconnected', 'streamlines_disconnected')]),
        (ratio, summary, [('out_file', 'disconnection_map')]),
        (ratio, outputnode, [('out_file', 'disconnection_map')]),
        (summary, outputnode, [('out_file', 'summary')]),
    ])  # fmt: skip
    return workflow
