"""Structural lesion network mapping of one mask."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from niworkflows.engine.workflows import LiterateWorkflow as Workflow

from lacuna.interfaces.images import DisconnectionMap, PrepareMask, SummaryStatistics
from lacuna.interfaces.mrtrix import TCKEdit, TCKMap


def init_snm_wf(
    *,
    tck_upsample: int | None = None,
    tractogram_box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'snm_wf',
) -> Workflow:
    """Which part of each voxel's streamlines a lesion cuts.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.snm import init_snm_wf

            wf = init_snm_wf()

    Parameters
    ----------
    tck_upsample : int, optional
        Overrides MRtrix3's rule for the upsampling of streamlines; as in the full density.
    tractogram_box : tuple, optional
        Smallest and greatest coordinates of the streamlines (mm): a mask outside is then an error.
    omp_nthreads : int
        Threads of each command.
    mem_gb : float
        Memory of each command.
    name : str

    Inputs
    ------
    mask
        Binary lesion mask on any grid of the tractogram's space.
    tracks
        Tractogram (``.tck``).
    full_tdi
        Its density, see :func:`lacuna.workflows.connectome.init_connectome_wf`; the outputs have its grid.
    streamlines_total
        Number of its streamlines.

    Outputs
    -------
    mask
        The mask as 0 and 1, on its own grid.
    disconnected_tracks
        The streamlines with a vertex in the mask.
    mask_tdi
        Their density.
    disconnection_map
        ``100 * mask_tdi / full_tdi`` in percent, 0 where there is no streamline.
    summary
        Statistics as JSON.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = (
        'Streamlines with a vertex inside the lesion mask, on its own grid, were selected (`tckedit`) and mapped '
        '(`tckmap`); the voxel-wise disconnection is their share of all streamlines of the voxel, in percent. '
    )
    inputnode = pe.Node(
        niu.IdentityInterface(fields=['mask', 'tracks', 'full_tdi', 'streamlines_total']), name='inputnode'
    )
    outputnode = pe.Node(
        niu.IdentityInterface(
            fields=['mask', 'disconnected_tracks', 'mask_tdi', 'disconnection_map', 'summary']
        ),
        name='outputnode',
    )
    prepare = pe.Node(PrepareMask(), name='prepare', mem_gb=0.5)
    if tractogram_box is not None:
        prepare.inputs.tractogram_box = tractogram_box
    select = pe.Node(TCKEdit(), name='select', n_procs=omp_nthreads, mem_gb=mem_gb)
    lesion_map = pe.Node(TCKMap(), name='lesion_map', n_procs=omp_nthreads, mem_gb=mem_gb)
    if tck_upsample is not None:
        lesion_map.inputs.upsample = tck_upsample
    ratio = pe.Node(DisconnectionMap(), name='ratio', mem_gb=0.5)
    summary = pe.Node(SummaryStatistics(), name='summary', mem_gb=0.5)
    workflow.connect([
        (inputnode, prepare, [('mask', 'in_file')]),
        (inputnode, select, [('tracks', 'in_tracks')]),
        (prepare, select, [('out_file', 'include')]),
        (select, lesion_map, [('out_tracks', 'in_tracks')]),
        (inputnode, lesion_map, [('full_tdi', 'template')]),
        (lesion_map, ratio, [('out_file', 'mask_tdi')]),
        (inputnode, ratio, [('full_tdi', 'full_tdi')]),
        (prepare, summary, [('out_file', 'in_mask')]),
        (ratio, summary, [('out_file', 'disconnection_map')]),
        (inputnode, summary, [('full_tdi', 'full_tdi'), ('streamlines_total', 'streamlines_total')]),
        (select, summary, [('count', 'streamlines_disconnected')]),
        (prepare, outputnode, [('out_file', 'mask')]),
        (select, outputnode, [('out_tracks', 'disconnected_tracks')]),
        (lesion_map, outputnode, [('out_file', 'mask_tdi')]),
        (ratio, outputnode, [('out_file', 'disconnection_map')]),
        (summary, outputnode, [('out_file', 'summary')]),
    ])  # fmt: skip
    return workflow
