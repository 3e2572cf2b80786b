"""Workflows that run once per tractogram, space and grid."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.interfaces.bids import SaveFile
from lacuna.interfaces.images import GridTemplate, SupportMask
from lacuna.interfaces.index import BuildIndex
from lacuna.interfaces.mrtrix import TCKEdit, TCKMap
from lacuna.interfaces.streamlines import CountStreamlines, MoveStreamlines, WriteWeights
from lacuna.measures import MIN_SUPPORT
from lacuna.utils.cache import is_intact
from lacuna.utils.files import absolute
from lacuna.workflows import methods
from lacuna.workflows.literate import Workflow
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
    """Compute the density of the whole tractogram, the denominator of all disconnection maps.

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
        Voxel size in mm (1 or 2).
    tck_upsample : int, optional
        Upsampling factor of the streamlines, instead of MRtrix3's rule.
    engine : str
        Engine for the lesions: ``index`` builds a streamline index and takes the density from it; ``mrtrix`` runs
        ``tckmap``.
    weighted, limited : bool
        With the engine ``mrtrix``: whether streamlines are weighted, and whether only some are used.
    index_directory : pathlib.Path, optional
        Folder of the index; by default one beside the tractogram if it exists, else one in the cache. Intact parts are
        kept; parts that are missing, damaged or of another tractogram are built.
    cached_tdi : pathlib.Path, optional
        With the engine ``mrtrix``: file in which the density is cached. An existing file is used unless it is damaged, so its
        name must identify the content of the tractogram and all parameters.
    cached_counts : pathlib.Path, optional
        With `weighted`: file in which the density without weights is cached, as above.
    streamlines_total : int, optional
        With the engine ``mrtrix``: number of streamlines, if known; otherwise they are counted.
    min_support : int
        Minimum number of streamlines in a voxel of `support_mask`.
    show_progress : bool
        Whether to show a progress bar on terminals while the index is built.
    omp_nthreads : int
        Number of threads of each node.
    mem_gb : float
        Memory of ``tckmap`` in GB, with the engine ``mrtrix``.
    name : str

    Inputs
    ------
    tracks
        Tractogram (``.tck``) in `space`.
    weighting
        Weights and lengths of the streamlines, and which to use, from
        :class:`lacuna.interfaces.streamlines.WeighStreamlines`; by default all, with weight 1.
    numbers
        Indices of the streamlines, from :class:`lacuna.interfaces.connectivity.NumberStreamlines`; with the engine
        ``mrtrix`` and `limited`.

    Outputs
    -------
    full_tdi
        Number (or summed weights) of the streamlines that visit each voxel, on the standard grid.
    counts
        Number of the streamlines that visit each voxel, without weights.
    support_mask
        1 in voxels that at least `min_support` streamlines visit, 0 elsewhere.
    streamlines_total
        Number of streamlines in use.
    index
        Streamline index for this grid; with the engine ``index``.
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
            # in this process, Ctrl-C can still remove unfinished files
            run_without_submitting=True,
        )
        # except on a cluster, where the submitting machine is for light work only
        build.plugin_args = {'submit': True}
        if index_directory is not None:
            build.inputs.directory = str(absolute(index_directory))
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
    # support does not depend on weights: with weights, there are two densities
    densities = {
        'full_tdi': absolute(cached_tdi),
        **({'counts': absolute(cached_counts)} if weighted else {}),
    }
    missing = [field for field, path in densities.items() if path is None or not is_intact(path)]
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
        # without weights, the density is the number of streamlines
        entries = [(outputnode, field), *([] if weighted and field == 'full_tdi' else [(support, 'in_file')])]
        entries += [] if weighted else [(outputnode, 'counts')]
        if field not in missing:
            for node, entry in entries:
                setattr(node.inputs, entry, str(path))
            continue
        by_weight = weighted and field == 'full_tdi'
        # with more threads, the order in which tckmap adds weights differs between runs
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
                SaveFile(out_path=str(path), sealed=True),
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
    """Move the streamlines of a tractogram into the space of the lesions, once instead of moving every lesion.

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
        Moves points from the source space to the target space, see :func:`lacuna.images.spaces.find_transform`.
    cached_tracks : pathlib.Path, optional
        File in which the moved tractogram is cached. An existing file is used unless it is damaged, so its name must
        identify the content of tractogram and transform.
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
        Tractogram in the target space.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.moved(source_space, target_space)
    inputnode = pe.Node(niu.IdentityInterface(fields=['tracks']), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['tracks']), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    cached_tracks = absolute(cached_tracks)
    if cached_tracks is not None and is_intact(cached_tracks):
        outputnode.inputs.tracks = str(cached_tracks)
        return workflow
    move = pe.Node(
        MoveStreamlines(transform=str(absolute(transform))), name='move', n_procs=omp_nthreads, mem_gb=MOVING
    )
    if cached_tracks is not None:
        move.inputs.out_tracks = str(cached_tracks)  # written there directly, because it is large
    workflow.connect([
        (inputnode, move, [('tracks', 'in_tracks')]),
        (move, outputnode, [('out_tracks', 'tracks')]),
    ])  # fmt: skip
    return workflow
