"""The graph of a whole run: each tractogram's density once, then every mask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe
from niworkflows.engine.workflows import LiterateWorkflow as Workflow

from lacuna.bids import connectome_tdi_path
from lacuna.interfaces.bids import DerivativesDataSink, SaveFile
from lacuna.plan import MaskJob, RunPlan
from lacuna.workflows.connectome import init_connectome_wf
from lacuna.workflows.snm import init_snm_wf


def init_cohort_wf(
    plan: RunPlan,
    *,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'lacuna_wf',
) -> Workflow:
    """All that a plan says is missing, from the tractogram to the files under their final names.

    Parameters
    ----------
    plan : lacuna.plan.RunPlan
    omp_nthreads : int
        Threads of each command.
    mem_gb : float
        Memory of each command.
    name : str
    """
    workflow = Workflow(name=name)
    config = plan.config
    for space in sorted({job.mask.space for job in plan.todo}):
        jobs = [job for job in plan.todo if job.mask.space == space]
        inputnode = pe.Node(
            niu.IdentityInterface(fields=['tracks', 'streamlines_total']), name=f'tractogram_{space}'
        )
        inputnode.inputs.tracks = str(plan.tractogram.path)
        inputnode.inputs.streamlines_total = plan.tractogram.info.count
        connectome = init_connectome_wf(
            space=space,
            resolution=config.output_resolution,
            tck_upsample=config.tck_upsample,
            cached_tdi=plan.cached_tdi(space),
            omp_nthreads=omp_nthreads,
            mem_gb=mem_gb,
            name=f'connectome_{space}_wf',
        )
        tdi_path = config.output_dir / connectome_tdi_path(
            plan.tractogram.label, space, config.output_resolution
        )
        publish = pe.Node(
            SaveFile(out_path=str(tdi_path), metadata=plan.connectome_metadata[space]),
            name=f'publish_{space}',
            run_without_submitting=True,
        )
        workflow.connect([
            (inputnode, connectome, [('tracks', 'inputnode.tracks')]),
            (connectome, publish, [('outputnode.full_tdi', 'in_file')]),
        ])  # fmt: skip
        for job, job_name in zip(jobs, job_names(jobs), strict=True):
            one = init_mask_wf(
                job,
                output_dir=config.output_dir,
                tck_upsample=config.tck_upsample,
                tractogram_box=plan.tractogram.info.box,
                omp_nthreads=omp_nthreads,
                mem_gb=mem_gb,
                name=job_name,
            )
            workflow.connect([
                (inputnode, one, [('tracks', 'inputnode.tracks'),
                                  ('streamlines_total', 'inputnode.streamlines_total')]),
                (connectome, one, [('outputnode.full_tdi', 'inputnode.full_tdi')]),
            ])  # fmt: skip
    return workflow


def init_mask_wf(
    job: MaskJob,
    *,
    output_dir: Path,
    tck_upsample: int | None = None,
    tractogram_box: tuple[tuple[float, float, float], tuple[float, float, float]] | None = None,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'mask_wf',
) -> Workflow:
    """One mask from its file to its outputs under their final names.

    Parameters
    ----------
    job : lacuna.plan.MaskJob
    output_dir : pathlib.Path
        Root of the derivative dataset.
    tck_upsample, tractogram_box, omp_nthreads, mem_gb, name
        See :func:`lacuna.workflows.snm.init_snm_wf`.

    Inputs
    ------
    tracks, full_tdi, streamlines_total
        See :func:`lacuna.workflows.snm.init_snm_wf`.
    """
    workflow = Workflow(name=name)
    inputnode = pe.Node(
        niu.IdentityInterface(fields=['tracks', 'full_tdi', 'streamlines_total']), name='inputnode'
    )
    snm = init_snm_wf(
        tck_upsample=tck_upsample, tractogram_box=tractogram_box, omp_nthreads=omp_nthreads, mem_gb=mem_gb
    )
    snm.inputs.inputnode.mask = str(job.mask.path)
    sink = pe.Node(
        DerivativesDataSink(
            keys=job.missing,
            base_directory=str(output_dir),
            source_file=str(job.mask.path),
            space=job.mask.space,
            subject=job.mask.subject,
            metadata=job.metadata,
        ),
        name='sink',
        run_without_submitting=True,
    )
    fields = {'map': 'disconnection_map', 'summary': 'summary'}
    workflow.connect([
        (inputnode, snm, [('tracks', 'inputnode.tracks'), ('full_tdi', 'inputnode.full_tdi'),
                          ('streamlines_total', 'inputnode.streamlines_total')]),
        (snm, sink, [(f'outputnode.{fields[key]}', key) for key in job.missing]),
    ])  # fmt: skip
    return workflow


def job_names(jobs: Sequence[MaskJob]) -> list[str]:
    """Names of the workflows of the masks: the same in every run, so that a killed one can be resumed."""
    return [re.sub('[^0-9A-Za-z]', '_', job.mask.stem) + '_wf' for job in jobs]
