"""The workflow of a whole run: the density of each tractogram once, then every mask."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.bids.outputs import BASIC_TARGETS, SAMPLE, Target, names_from
from lacuna.execution.plan import MaskJob, RunPlan
from lacuna.execution.regions import ProbabilityAtlas, bundle_table
from lacuna.execution.tasks import MOST_SAMPLED
from lacuna.images.atlases import Parcellation
from lacuna.images.mask_values import GRADED
from lacuna.interfaces.bids import DerivativesDataSink, SaveFile
from lacuna.interfaces.connectivity import NumberStreamlines
from lacuna.interfaces.images import PrepareRegions
from lacuna.measures import MIN_SUPPORT
from lacuna.streamlines.endpoints import EDGE_MEASURES
from lacuna.streamlines.null_settings import NullSettings
from lacuna.workflows.bundles import init_bundle_set_wf
from lacuna.workflows.connectivity import init_parcellation_wf
from lacuna.workflows.connectome import init_alignment_wf, init_connectome_wf
from lacuna.workflows.literate import Workflow
from lacuna.workflows.nulls import init_null_wf
from lacuna.workflows.resources import SMALL, of_streamlines
from lacuna.workflows.selection import ENGINE_FIELDS
from lacuna.workflows.snm import init_snm_wf

#: outputs of the tractogram's workflow that a mask needs
_OF_TRACTOGRAM = ('full_tdi', 'counts', 'streamlines_total')
#: outputs made from the sample of streamlines
_SAMPLED = {SAMPLE.key, 'sample_bundles'}


def init_cohort_wf(
    plan: RunPlan,
    *,
    nprocs: int = 1,
    omp_nthreads: int = 1,
    mem_gb: float | None = None,
    show_progress: bool = False,
    name: str = 'lacuna_wf',
) -> Workflow:
    """Build the workflow of everything missing in a plan, from the tractogram to the final files.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
    nprocs : int
        Threads of shared nodes, which run before the masks.
    omp_nthreads : int
        Threads per mask.
    mem_gb : float, optional
        Memory of nodes that process streamlines; by default estimated from their number.
    show_progress : bool
        Whether to show a progress bar on terminals while an index is built.
    name : str
    """
    workflow = Workflow(name=name)
    mem_gb = of_streamlines(plan.tractogram.info.count) if mem_gb is None else mem_gb
    for space in sorted({*plan.unpublished, *(job.mask.space for job in plan.todo)}):
        jobs = [job for job in plan.todo if job.mask.space == space]
        part = init_space_wf(
            plan,
            jobs,
            space=space,
            targets=[target for job in jobs for target in job.missing],
            nprocs=nprocs,
            omp_nthreads=omp_nthreads,
            mem_gb=mem_gb,
            show_progress=show_progress,
            name=f'{space}_wf',
        )
        workflow.add_nodes([part])
    return workflow


def init_space_wf(
    plan: RunPlan,
    jobs: Sequence[MaskJob],
    *,
    space: str,
    targets: Sequence[Target],
    nprocs: int,
    omp_nthreads: int,
    mem_gb: float,
    show_progress: bool = False,
    name: str,
) -> Workflow:
    """Build the workflow of the masks of one space, and of what they share of tractogram and atlases.

    Parameters
    ----------
    plan : lacuna.execution.plan.RunPlan
    jobs : sequence of lacuna.execution.plan.MaskJob
    space : str
    targets : sequence of lacuna.bids.outputs.Target
        Outputs missing for any mask.
    nprocs, omp_nthreads, mem_gb, show_progress, name
        See :func:`init_cohort_wf`.
    """
    workflow = Workflow(name=name)
    config, info = plan.config, plan.tractogram.info
    shared: dict[str, Any] = {'omp_nthreads': nprocs, 'mem_gb': mem_gb}
    tractogram = pe.Node(niu.IdentityInterface(fields=['tracks', 'weighting']), name='tractogram')
    tractogram.inputs.tracks = str(plan.tractogram.tracks)
    tractogram.inputs.weighting = str(plan.tractogram.weighting_path())
    weighted, limited = plan.tractogram.weights is not None, plan.tractogram.is_limited
    # source of the streamlines: node and field
    tracks, field = tractogram, 'tracks'
    aligned = plan.alignment(space)
    if aligned.transform:
        alignment = init_alignment_wf(
            source_space=plan.tractogram.space,
            target_space=space,
            transform=aligned.transform.path,
            cached_tracks=aligned.tracks,
            omp_nthreads=nprocs,
        )
        workflow.connect([(tractogram, alignment, [('tracks', 'inputnode.tracks')])])
        tracks, field = alignment, 'outputnode.tracks'
    connectome = init_connectome_wf(
        space=space,
        resolution=config.output_resolution,
        tck_upsample=config.tck_upsample,
        engine=config.engine,
        weighted=weighted,
        limited=limited and config.engine == 'mrtrix',
        index_directory=plan.index_directory(space) if config.engine == 'index' else None,
        cached_tdi=plan.cached_tdi(space),
        cached_counts=plan.cached_tdi(space, counts=True),
        streamlines_total=plan.tractogram.streamlines_total,
        min_support=config.min_support,
        show_progress=show_progress,
        **shared,
    )
    workflow.connect([
        (tracks, connectome, [(field, 'inputnode.tracks')]),
        (tractogram, connectome, [('weighting', 'inputnode.weighting')]),
    ])  # fmt: skip
    for key, path in plan.connectome_paths(space).items():
        publish = pe.Node(
            SaveFile(out_path=str(path), metadata=plan.connectome_metadata[space][key]),
            name=f'publish_{key}',
            run_without_submitting=True,
        )
        workflow.connect([(connectome, publish, [(f'outputnode.{key}', 'in_file')])])

    # by engine: the source of its input, and that of the assignment
    if config.engine == 'index':
        engine_source = (connectome, 'outputnode.index', 'inputnode.index')
        to_assign = engine_source
    else:
        numbers = pe.Node(NumberStreamlines(count=info.count), name='numbers', mem_gb=mem_gb)
        workflow.connect([(tractogram, numbers, [('weighting', 'weighting')])])
        if limited:
            workflow.connect([(numbers, connectome, [('out_file', 'inputnode.numbers')])])
        engine_source = (numbers, 'out_file', 'inputnode.numbers')
        to_assign = (tracks, field, 'inputnode.tracks')

    # tables of the atlases and bundles: node and output, by input field of a mask
    tables: dict[str, tuple[Any, str]] = {}
    atlases = plan.atlases[space]
    for each in atlases.parcellations:
        to_atlas = plan.movements.get((space, each.atlas.space))
        if each.atlas.name in names_from('endpoints', targets):
            part = init_parcellation_wf(
                space=space,
                atlas=each.atlas.name,
                atlas_space=each.atlas.space,
                atlas_transform=to_atlas.path if to_atlas else None,
                engine=config.engine,
                assignment=config.assignment,
                cached_endpoints=plan.cached_endpoints(each, space),
                name=f'parcellation_{each.atlas.name}_wf',
                **shared,
            )
            part.inputs.inputnode.image = str(each.atlas.image)
            part.inputs.inputnode.labels = str(each.atlas.labels)
            workflow.connect(to_assign[0], to_assign[1], part, to_assign[2])
            tables[f'endpoints_{each.atlas.name}'] = part, 'outputnode.endpoints'
    for atlas in atlases.all:
        if atlas.atlas.name in names_from('regions', targets):
            node = _regions_node(plan, atlas, space)
            workflow.add_nodes([node])  # without jobs, nothing connects it
            tables[f'regions_{atlas.atlas.name}'] = node, 'out_file'
    if plan.bundles and names_from('bundles', targets):
        part = init_bundle_set_wf(
            engine=config.engine,
            cached_bundles=plan.cached_bundles(space),
            tck_upsample=config.tck_upsample,
            **shared,
        )
        part.inputs.inputnode.table = str(bundle_table(plan.bundles, plan.cache))
        part.inputs.inputnode.streamlines_total = info.count
        workflow.connect([(tractogram, part, [('weighting', 'inputnode.weighting')])])
        sources = [(tracks, field, 'tracks'), (connectome, 'outputnode.full_tdi', 'full_tdi')]
        if config.engine == 'index':
            sources = [(connectome, 'outputnode.index', 'index')]
        for node, output, entry in sources:
            workflow.connect(node, output, part, f'inputnode.{entry}')
        tables[f'bundles_{plan.bundles.name}'] = part, 'outputnode.bundles'

    for job in jobs:
        one = init_mask_wf(
            job,
            output_dir=config.output_dir,
            engine=config.engine,
            tck_upsample=config.tck_upsample,
            binarize=config.binarize,
            graded_masks=config.graded_masks,
            mask_scale=config.mask_scale,
            networks={each.atlas.name: each.networks for each in atlases.parcellations},
            spared_threshold=config.spared_threshold,
            edge_measure=config.edge_measure,
            weighted=weighted,
            nulls=plan.nulls,
            min_support=config.min_support,
            omp_nthreads=omp_nthreads,
            mem_gb=mem_gb,
            name=job_name(job),
        )
        workflow.connect([
            (tracks, one, [(field, 'inputnode.tracks')]),
            (tractogram, one, [('weighting', 'inputnode.weighting')]),
            (connectome, one, [(f'outputnode.{each}', f'inputnode.{each}') for each in _OF_TRACTOGRAM]),
        ])  # fmt: skip
        workflow.connect(engine_source[0], engine_source[1], one, engine_source[2])
        for entry in _tables_of(job):
            workflow.connect(*tables[entry], one, f'inputnode.{entry}')
    return workflow


def _regions_node(plan: RunPlan, regions: Parcellation | ProbabilityAtlas, space: str) -> pe.Node:
    """Return the node that writes the voxels of an atlas to the cache if missing."""
    atlas = regions.atlas
    node = pe.Node(
        PrepareRegions(image=str(atlas.image), labels=str(atlas.labels), space=atlas.space, name=atlas.name),
        name=f'regions_{atlas.name}',
        mem_gb=SMALL,
    )
    node.inputs.out_file = str(plan.cached_regions(regions, space))
    if movement := plan.movements.get((space, atlas.space)):
        node.inputs.transform, node.inputs.target_space = str(movement.path), space
    return node


def _tables_of(job: MaskJob) -> list[str]:
    """Return the input fields of a mask for tables of atlases and bundles."""
    return [f'{kind}_{name}' for kind in ('endpoints', 'regions', 'bundles') for name in job.names_from(kind)]


def init_mask_wf(
    job: MaskJob,
    *,
    output_dir: Path,
    engine: str = 'index',
    tck_upsample: int | None = None,
    binarize: float | None = None,
    graded_masks: str = GRADED[0],
    mask_scale: float = 1.0,
    networks: Mapping[str, Sequence[str]] = MappingProxyType({}),
    spared_threshold: float = 50.0,
    edge_measure: str = EDGE_MEASURES[0],
    weighted: bool = False,
    nulls: NullSettings | None = None,
    min_support: int = MIN_SUPPORT,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'mask_wf',
) -> Workflow:
    """Build the workflow of one mask, from its file to the final outputs.

    Parameters
    ----------
    job : lacuna.execution.plan.MaskJob
    output_dir : pathlib.Path
        Root of the derivative dataset.
    nulls : lacuna.streamlines.null_settings.NullSettings, optional
        Settings of null lesions, if outputs about them are missing.
    engine, tck_upsample, binarize, graded_masks, mask_scale, networks, spared_threshold, edge_measure, weighted,
    min_support, omp_nthreads, mem_gb, name
        See :func:`lacuna.workflows.snm.init_snm_wf`.

    Inputs
    ------
    tracks, full_tdi, counts, streamlines_total, weighting, index, numbers, endpoints_<atlas>, regions_<atlas>,
    bundles_<name>
        See :func:`lacuna.workflows.snm.init_snm_wf`.
    """
    workflow = Workflow(name=name)
    fields = ['tracks', *_OF_TRACTOGRAM, 'weighting', *ENGINE_FIELDS[engine]]
    fields += _tables_of(job)
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    plain = [target for target in job.missing if not target.nulls]
    about_nulls = [target for target in job.missing if target.nulls]
    snm = init_snm_wf(
        engine=engine,
        density=any(target in BASIC_TARGETS for target in plain),
        atlases=names_from('endpoints', plain),
        connectivity=list(dict.fromkeys(each.key for each in plain if each.made_from == 'endpoints')),
        networks=networks,
        spared_threshold=spared_threshold,
        edge_measure=edge_measure,
        weighted=weighted,
        load=names_from('regions', plain),
        bundles=names_from('bundles', plain),
        most_sampled=MOST_SAMPLED if {each.key for each in job.missing} & _SAMPLED else 0,
        tck_upsample=tck_upsample,
        binarize=binarize,
        graded_masks=graded_masks,
        mask_scale=mask_scale,
        packed=job.packed,
        warnings=job.warnings,
        min_support=min_support,
        omp_nthreads=omp_nthreads,
        mem_gb=mem_gb,
    )
    snm.inputs.inputnode.mask = str(job.mask.path)
    sink = pe.Node(
        DerivativesDataSink(
            targets=job.missing,
            base_directory=str(output_dir),
            source_file=str(job.mask.path),
            space=job.mask.space,
            subject=job.mask.subject,
            metadata=job.metadata,
            atlases=job.atlases,
        ),
        name='sink',
    )
    known = snm.get_node('inputnode').interface._fields
    workflow.connect([
        (inputnode, snm, [(field, f'inputnode.{field}') for field in fields if field in known]),
        (snm, sink, [(f'outputnode.{target.field}', target.field) for target in plain]),
    ])  # fmt: skip
    if about_nulls and nulls:
        part = init_null_wf(
            space=job.mask.space,
            settings=nulls,
            targets=about_nulls,
            networks=networks,
            edge_measure=edge_measure,
            packed=job.packed,
            omp_nthreads=omp_nthreads,
        )
        entries = [field for field in part.get_node('inputnode').interface._fields if field != 'mask']
        workflow.connect([
            (snm, part, [('outputnode.mask', 'inputnode.mask')]),
            (inputnode, part, [(field, f'inputnode.{field}') for field in entries]),
            (part, sink, [(f'outputnode.{target.field}', target.field) for target in about_nulls]),
        ])  # fmt: skip
    return workflow


def sink_name(workflow: Workflow, job: MaskJob) -> str:
    """Return the full name of the last node of a mask."""
    return f'{workflow.name}.{job.mask.space}_wf.{job_name(job)}.sink'


def job_name(job: MaskJob) -> str:
    """Return the name of a mask's workflow, which is the same in every run, so that a killed run can be resumed."""
    return re.sub('[^0-9A-Za-z]', '_', job.mask.stem) + '_wf'
