"""Workflows that run once for a tractogram, a space and a grid."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from niworkflows.engine.workflows import LiterateWorkflow as Workflow

from lacuna.interfaces.bids import SaveFile
from lacuna.interfaces.images import GridTemplate, SupportMask
from lacuna.interfaces.index import BuildIndex
from lacuna.interfaces.mrtrix import TCKEdit, TCKMap
from lacuna.interfaces.streamlines import CountStreamlines, MoveStreamlines, WriteWeights
from lacuna.measures import MIN_SUPPORT
from lacuna.workflows import methods
from lacuna.workflows.resources import MOVING, SMALL, of_build


def init_connectome_wf(
    *,
    space: str,
    resolution: int = 2,
    tck_upsample: int | None = None,
    engine: str = 'index',
    weighted: bool = False,
    limited: bool = False,
    index_directory: Path | None = None,
    cached_tdi: Path | None = None,
    cached_counts: Path | None = None,
    streamlines_total: int | None = None,
    min_support: int = MIN_SUPPORT,
    show_progress: bool = False,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'connectome_wf',
) -> Workflow:
    """Map the density of a whole tractogram, the denominator of all disconnection maps.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.connectome import init_connectome_wf

            wf = init_connectome_wf(space='MNI152NLin6Asym')

    Parameters
    ----------
    space : str
        Standard space of the streamlines.
    resolution : int
        Edge of the voxels in mm (1 or 2).
    tck_upsample : int, optional
        Overrides MRtrix3's rule for the upsampling of streamlines.
    engine : str
        Engine for the lesions: ``index`` builds a streamline index and takes the density from it; ``mrtrix`` runs
        ``tckmap``.
    weighted, limited : bool
        For the engine ``mrtrix``: whether streamlines count differently, and whether only some are looked at.
    index_directory : pathlib.Path, optional
        Folder of the index; by default the one beside the tractogram if there is one, else one in the cache. Intact
        parts of it are kept; missing or damaged ones, or those of another tractogram, are built.
    cached_tdi : pathlib.Path, optional
        For the engine ``mrtrix``, the file in which the density is cached. If it exists it is used, else it is written.
        Its name has to identify the content of the tractogram and all parameters: nothing is compared.
    cached_counts : pathlib.Path, optional
        The same of the density without weights; if `weighted`.
    streamlines_total : int, optional
        For the engine ``mrtrix``, the number of streamlines, if known; else they are counted.
    min_support : int
        Streamlines that a voxel needs to be in `support_mask`.
    show_progress : bool
        Whether to show a progress bar on a terminal while the index is built.
    omp_nthreads : int
        Threads of each node.
    mem_gb : float
        Memory of ``tckmap``, with the engine ``mrtrix``.
    name : str

    Inputs
    ------
    tracks
        Tractogram (``.tck``) in `space`.
    weighting
        Which streamlines are looked at, and how much each counts, from
        :class:`lacuna.interfaces.streamlines.WeighStreamlines`; by default all, and 1.
    numbers
        From :class:`lacuna.interfaces.connectivity.NumberStreamlines`, with the engine ``mrtrix`` and `limited`.

    Outputs
    -------
    full_tdi
        Number (or summed weights) of the streamlines that visit each voxel, on the standard grid.
    counts
        Their number, whatever their weights.
    support_mask
        1 in voxels that at least `min_support` of them visit, else 0.
    streamlines_total
        Number of streamlines that are looked at.
    index
        The streamline index for this grid; with the engine ``index``.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.full_density(space, resolution, engine)
    results = ['full_tdi', 'counts', 'streamlines_total', *(['index'] if engine == 'index' else [])]
    inputnode = pe.Node(
        niu.IdentityInterface(fields=['tracks', 'weighting', *(['numbers'] if limited else [])]),
        name='inputnode',
    )
    outputnode = pe.Node(niu.IdentityInterface(fields=[*results, 'support_mask']), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    support = pe.Node(SupportMask(min_support=min_support), name='support', run_without_submitting=True)
    workflow.connect([(support, outputnode, [('out_file', 'support_mask')])])
    if engine == 'index':
        build = pe.Node(
            BuildIndex(space=space, resolution=resolution, show_progress=show_progress),
            name='build',
            n_procs=omp_nthreads,
            mem_gb=of_build(omp_nthreads),
            # here, unlike in a worker, Ctrl-C can still remove unfinished files
            run_without_submitting=True,
        )
        # not on a cluster, where the machine that submits jobs is for light work only
        build.plugin_args = {'submit': True}
        if index_directory is not None:
            build.inputs.directory = str(index_directory)
        if tck_upsample is not None:
            build.inputs.upsample = tck_upsample
        workflow.connect([
            (inputnode, build, [('tracks', 'in_tracks'), ('weighting', 'weighting')]),
            (build, outputnode, [(field, field) for field in results]),
            (build, support, [('counts', 'in_file')]),
        ])  # fmt: skip
        return workflow
    if streamlines_total is not None:
        outputnode.inputs.streamlines_total = streamlines_total
    else:
        count = pe.Node(CountStreamlines(space=space), name='count', mem_gb=SMALL)
        workflow.connect([
            (inputnode, count, [('tracks', 'in_tracks')]),
            (count, outputnode, [('streamlines_total', 'streamlines_total')]),
        ])  # fmt: skip
    # weights are no matter of support: with them, there are two densities
    densities = {'full_tdi': cached_tdi, **({'counts': cached_counts} if weighted else {})}
    missing = [field for field, path in densities.items() if path is None or not path.is_file()]
    if missing:
        template = pe.Node(
            GridTemplate(space=space, resolution=resolution), name='template', run_without_submitting=True
        )
        tracks = inputnode, 'tracks'
        if limited:
            keep_some = pe.Node(
                TCKEdit(min_weight=0.0), name='keep_some', n_procs=omp_nthreads, mem_gb=mem_gb
            )
            workflow.connect([(inputnode, keep_some, [('tracks', 'in_tracks'), ('numbers', 'in_weights')])])
            tracks = keep_some, 'out_tracks'
    for field, path in densities.items():
        # without weights, what visits a voxel is their number
        entries = [(outputnode, field), *([] if weighted and field == 'full_tdi' else [(support, 'in_file')])]
        entries += [] if weighted else [(outputnode, 'counts')]
        if field not in missing:
            for node, entry in entries:
                setattr(node.inputs, entry, str(path))
            continue
        by_weight = weighted and field == 'full_tdi'
        # with more threads, tckmap adds weights in another order at each run
        threads = 1 if by_weight else omp_nthreads
        label = 'full_map' if field == 'full_tdi' else 'count_map'
        source = pe.Node(TCKMap(), name=label, n_procs=threads, mem_gb=mem_gb)
        if tck_upsample is not None:
            source.inputs.upsample = tck_upsample
        workflow.connect(*tracks, source, 'in_tracks')
        workflow.connect(template, 'out_file', source, 'template')
        if by_weight:
            weigh = pe.Node(WriteWeights(), name='weigh', mem_gb=SMALL)
            workflow.connect([
                (inputnode, weigh, [('weighting', 'weighting')]),
                (weigh, source, [('out_file', 'in_weights')]),
            ])  # fmt: skip
        if path is not None:
            keep = pe.Node(
                SaveFile(out_path=str(path)),
                name='keep' if field == 'full_tdi' else 'keep_counts',
                run_without_submitting=True,
            )
            workflow.connect(source, 'out_file', keep, 'in_file')
            source = keep
        for node, entry in entries:
            workflow.connect(source, 'out_file', node, entry)
    return workflow


def init_alignment_wf(
    *,
    source_space: str,
    target_space: str,
    transform: Path,
    cached_tracks: Path | None = None,
    omp_nthreads: int = 1,
    name: str = 'alignment_wf',
) -> Workflow:
    """Move the streamlines of a tractogram into another space: once, instead of every lesion.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from pathlib import Path
            from lacuna.workflows.connectome import init_alignment_wf

            wf = init_alignment_wf(
                source_space='MNI152NLin2009cAsym', target_space='MNI152NLin6Asym', transform=Path('xfm.h5')
            )

    Parameters
    ----------
    source_space, target_space : str
        Standard spaces of the tractogram and of the lesions.
    transform : pathlib.Path
        Moves points from the first to the second, see :func:`lacuna.images.spaces.find_transform`.
    cached_tracks : pathlib.Path, optional
        File in which the moved tractogram is cached. If it exists it is used, else it is written. Its name has to
        identify the content of tractogram and transform: nothing is compared.
    omp_nthreads : int
        Number of threads.
    name : str

    Inputs
    ------
    tracks
        Tractogram (``.tck``) in the source space.

    Outputs
    -------
    tracks
        The same in the target space.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.moved(source_space, target_space)
    inputnode = pe.Node(niu.IdentityInterface(fields=['tracks']), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['tracks']), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    if cached_tracks is not None and cached_tracks.is_file():
        outputnode.inputs.tracks = str(cached_tracks)
        return workflow
    move = pe.Node(
        MoveStreamlines(transform=str(transform)), name='move', n_procs=omp_nthreads, mem_gb=MOVING
    )
    if cached_tracks is not None:
        move.inputs.out_tracks = str(cached_tracks)  # too large to be written twice
    workflow.connect([
        (inputnode, move, [('tracks', 'in_tracks')]),
        (move, outputnode, [('out_tracks', 'tracks')]),
    ])  # fmt: skip
    return workflow
