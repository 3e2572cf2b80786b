"""Workflow that draws the figures of one lesion for its participant's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.interfaces.reports import DrawReportlets, ReportletSink
from lacuna.reports.reportlets import BUNDLE_TABLES, REPORT_TABLES
from lacuna.utils.files import absolute
from lacuna.utils.names import parse_entities
from lacuna.workflows.connectivity import check_atlas_names
from lacuna.workflows.literate import Workflow


def init_snm_report_wf(
    *,
    stem: str,
    space: str,
    output_dir: Path | str,
    atlases: Sequence[str] = (),
    bundles: Sequence[str] = (),
    viewer: bool = True,
    metadata: Mapping[str, Any] | None = None,
    mem_gb: float = 1.0,
    name: str = 'snm_report_wf',
) -> Workflow:
    """Draw the figures of one mask from the outputs of :func:`lacuna.workflows.snm.init_snm_wf`.

    Then, :func:`lacuna.reports.participant.write_page` assembles the report of the participant.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.report import init_snm_report_wf

            wf = init_snm_report_wf(stem='sub-01_label-lesion', space='MNI152NLin6Asym', output_dir='.')

    Parameters
    ----------
    stem : str
        Common beginning of the names of the mask's outputs: ``sub-<label>[_ses-<label>]...``.
    space : str
        Standard space of the map.
    output_dir : path
        Root of the dataset; figures are written to ``sub-<label>/figures``.
    atlases : sequence of str
        Names (letters and digits) of the parcellations with tables.
    bundles : sequence of str
        Names of the sets of bundles with tables.
    viewer : bool
        Whether to write the viewer.
    metadata : mapping, optional
        Sidecar of the map: tractogram, versions, and where the space of the mask was stated.
    mem_gb : float
        Peak memory for drawing.
    name : str

    Inputs
    ------
    mask
        Lesion mask on any grid of the space.
    disconnection_map, summary
        Optional, see :func:`lacuna.workflows.snm.init_snm_wf`.
    support_mask
        Optional, see :func:`lacuna.workflows.connectome.init_connectome_wf`.
    sample
        Optional: a sample of the streamlines cut (``.tck``).
    null_statistics
        Optional, see :func:`lacuna.workflows.nulls.init_null_wf`.
    disconnection_matrix_<atlas>, mask_matrix_<atlas>, full_matrix_<atlas>, roi_disconnection_<atlas>,
    parcel_support_<atlas>, lesion_load_<atlas>
        For each atlas; each is optional.
    bundle_disconnection_<name>, sample_bundles_<name>, null_bundles_<name>
        For each set of bundles; each is optional.

    Outputs
    -------
    out_files
        The figures and the viewer, with their final names.
    """
    check_atlas_names(atlases)
    workflow = Workflow(name=name)
    fields = ['mask', 'disconnection_map', 'support_mask', 'summary', 'sample', 'null_statistics']
    fields += [f'{table}_{atlas}' for atlas in atlases for table in REPORT_TABLES]
    fields += [f'{table}_{each}' for each in bundles for table in BUNDLE_TABLES]
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['out_files']), name='outputnode')
    draw = pe.Node(
        DrawReportlets(
            atlases=atlases,
            bundles=bundles,
            stem=stem,
            space=space,
            viewer=viewer,
            metadata=dict(metadata or {}),
        ),
        name='draw',
        mem_gb=mem_gb,
    )
    sink = pe.Node(
        ReportletSink(base_directory=str(absolute(output_dir)), subject=parse_entities(stem)['sub']),
        name='sink',
        run_without_submitting=True,
    )
    workflow.connect([
        (inputnode, draw, [(field, field) for field in fields]),
        (draw, sink, [('out_files', 'in_files')]),
        (sink, outputnode, [('out_files', 'out_files')]),
    ])  # fmt: skip
    return workflow
