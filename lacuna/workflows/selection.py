"""Select the streamlines that a lesion cuts, and compute their density: the only step that depends on the engine."""

from __future__ import annotations

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.interfaces.index import QueryIndex
from lacuna.interfaces.mrtrix import SelectStreamlines, TCKMap, TCKSample
from lacuna.interfaces.streamlines import GradeStreamlines, SampleStreamlines, WriteWeights
from lacuna.workflows import methods
from lacuna.workflows.literate import Workflow
from lacuna.workflows.resources import SMALL

#: additional inputs of each engine for a lesion
ENGINE_FIELDS = {'index': ('index',), 'mrtrix': ('numbers',)}


def init_selection_wf(
    *,
    engine: str = 'index',
    density: bool = True,
    weighted: bool = False,
    graded: bool = False,
    most_sampled: int = 0,
    tck_upsample: int | None = None,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'selection_wf',
) -> Workflow:
    """Select the streamlines with a vertex in a mask, and compute their density.

    Both engines give identical results: ``index`` queries a streamline index, ``mrtrix`` runs ``tckedit`` and
    ``tckmap`` on the tractogram.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.selection import init_selection_wf

            wf = init_selection_wf()

    Parameters
    ----------
    engine : str
        ``index`` or ``mrtrix``.
    density : bool
        Whether to compute the density.
    weighted : bool
        With the engine ``mrtrix``: whether streamlines are weighted.
    graded : bool
        With the engine ``mrtrix``: whether the mask may be graded.
    most_sampled : int
        Number of streamlines in the sample; 0 for none.
    tck_upsample : int, optional
        Upsampling factor instead of MRtrix3's rule. (An index keeps the factor with which it was built.)
    omp_nthreads : int
        Number of threads.
    mem_gb : float
        Memory of each node in GB, see :mod:`lacuna.workflows.resources`.
    name : str

    Inputs
    ------
    mask
        Lesion mask, binary or graded, on any grid of the tractogram's space.
    inside
        Binary mask of the voxels above 0; with the engine ``mrtrix``, if the mask may be graded.
    tracks
        Tractogram (``.tck``).
    full_tdi
        Density of the tractogram, which defines the grid of the output.
    index
        Streamline index from :func:`lacuna.workflows.connectome.init_connectome_wf`; with the engine ``index``.
    numbers
        Indices of the streamlines from :class:`lacuna.interfaces.connectivity.NumberStreamlines`; with the engine
        ``mrtrix``.
    weighting
        Weights of the streamlines from :class:`lacuna.interfaces.streamlines.WeighStreamlines`; by default 1.

    Outputs
    -------
    selected
        Indices of the selected streamlines in the tractogram, from 0 (``.npy``, or text); for a graded mask, with how
        strongly it cuts each (``.npz``).
    count
        Number of selected streamlines.
    lesion_tdi
        Number of selected streamlines that visit each voxel; if `density`.
    sample
        Sample of the selected streamlines (``.tck``), evenly spread; if `most_sampled`.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.selection(engine, graded=graded)
    inputnode = pe.Node(
        niu.IdentityInterface(
            fields=['mask', 'inside', 'tracks', 'full_tdi', 'weighting', *ENGINE_FIELDS[engine]]
        ),
        name='inputnode',
    )
    outputnode = pe.Node(
        niu.IdentityInterface(fields=['selected', 'count', 'lesion_tdi', 'sample']), name='outputnode'
    )
    if engine == 'index':
        query = pe.Node(
            QueryIndex(density=density, most_sampled=most_sampled),
            name='query',
            n_procs=omp_nthreads,
            mem_gb=mem_gb,
        )
        workflow.connect([
            (inputnode, query, [('mask', 'in_mask'), ('index', 'index'), ('tracks', 'in_tracks'),
                                ('weighting', 'weighting')]),
            (query, outputnode, [('selected', 'selected'), ('count', 'count')]),
        ])  # fmt: skip
        if density:
            workflow.connect([(query, outputnode, [('out_file', 'lesion_tdi')])])
        if most_sampled:
            workflow.connect([(query, outputnode, [('sample', 'sample')])])
        return workflow

    # the indices are passed to tckedit as weights; those of unused streamlines are negative
    select = pe.Node(
        SelectStreamlines(out_weights='selected.txt', min_weight=0.0),
        name='select',
        n_procs=omp_nthreads,
        mem_gb=mem_gb,
    )
    workflow.connect([
        (inputnode, select, [('inside' if graded else 'mask', 'include'), ('tracks', 'in_tracks'), ('numbers', 'in_weights')]),
        (select, outputnode, [('count', 'count')]),
    ])  # fmt: skip
    chosen = select, 'out_weights'
    if graded:
        sample_mask = pe.Node(
            TCKSample(statistic='max', nearest=True), name='sample_mask', n_procs=omp_nthreads, mem_gb=mem_gb
        )
        grade = pe.Node(GradeStreamlines(), name='grade', mem_gb=SMALL)
        workflow.connect([
            (inputnode, sample_mask, [('mask', 'in_file')]),
            (select, sample_mask, [('out_tracks', 'in_tracks')]),
            (select, grade, [('out_weights', 'selected')]),
            (sample_mask, grade, [('out_file', 'samples')]),
        ])  # fmt: skip
        chosen = grade, 'selected'
    workflow.connect([(chosen[0], outputnode, [(chosen[1], 'selected')])])
    if density:
        # with more threads, the order in which tckmap adds weights differs between runs
        weighted = weighted or graded
        threads = 1 if weighted else omp_nthreads
        lesion_map = pe.Node(TCKMap(), name='lesion_map', n_procs=threads, mem_gb=mem_gb)
        if weighted:
            weigh = pe.Node(WriteWeights(), name='weigh', mem_gb=SMALL)
            workflow.connect([
                (inputnode, weigh, [('weighting', 'weighting')]),
                (chosen[0], weigh, [(chosen[1], 'selected')]),
                (weigh, lesion_map, [('out_file', 'in_weights')]),
            ])  # fmt: skip
        if tck_upsample is not None:
            lesion_map.inputs.upsample = tck_upsample
        workflow.connect([
            (inputnode, lesion_map, [('full_tdi', 'template')]),
            (select, lesion_map, [('out_tracks', 'in_tracks')]),
            (lesion_map, outputnode, [('out_file', 'lesion_tdi')]),
        ])  # fmt: skip
    if most_sampled:
        sample = pe.Node(SampleStreamlines(most=most_sampled), name='sample', mem_gb=mem_gb)
        workflow.connect([
            (select, sample, [('out_tracks', 'in_tracks')]),
            (sample, outputnode, [('sample', 'sample')]),
        ])  # fmt: skip
    return workflow
