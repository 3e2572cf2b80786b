"""Workflows for bundles: their voxels, once per tractogram, and their disconnection by each lesion."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.interfaces.bundles import BundleTable, MakeBundleSet, SplitBundles
from lacuna.interfaces.mrtrix import TCKMap
from lacuna.utils.cache import is_intact
from lacuna.utils.files import absolute
from lacuna.workflows import methods
from lacuna.workflows.literate import Workflow
from lacuna.workflows.resources import SMALL

BUNDLE_FIELDS = ('bundle_disconnection', 'sample_bundles')


def init_bundle_set_wf(
    *,
    engine: str = 'index',
    cached_bundles: Path | None = None,
    tck_upsample: int | None = None,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'bundle_set_wf',
) -> Workflow:
    """Find the voxels that each bundle visits, once per tractogram.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.bundles import init_bundle_set_wf

            wf = init_bundle_set_wf()

    Parameters
    ----------
    engine : str
        ``index`` or ``mrtrix``; the results are the same.
    cached_bundles : pathlib.Path, optional
        File in which the bundles are cached (``.npz``). An existing file is used unless it is damaged, so its name must
        identify the content of tractogram and table.
    tck_upsample : int, optional
        With the engine ``mrtrix``: upsampling factor instead of MRtrix3's rule.
    omp_nthreads : int
        Number of threads of each node.
    mem_gb : float
        Memory in GB of nodes that process streamlines, see :mod:`lacuna.workflows.resources`.
    name : str

    Inputs
    ------
    table
        Table of the streamlines of each bundle, see :func:`lacuna.streamlines.files.bundle_tables.read_bundles`.
    streamlines_total
        Number of all streamlines of the tractogram.
    weighting
        Which streamlines to use, from :class:`lacuna.interfaces.streamlines.WeighStreamlines`; by default all.
    index
        Streamline index from :func:`lacuna.workflows.connectome.init_connectome_wf`; with the engine ``index``.
    tracks, full_tdi
        Tractogram (``.tck``) and its density, which has the grid of the maps; with the engine ``mrtrix``.

    Outputs
    -------
    bundles
        Input for :func:`init_bundles_wf`, see :class:`lacuna.streamlines.bundles.BundleSet`.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.bundle_set()
    sources = ['tracks', 'full_tdi'] if engine == 'mrtrix' else ['index']
    fields = ['table', 'streamlines_total', 'weighting', *sources]
    inputnode = pe.Node(niu.IdentityInterface(fields=fields), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['bundles']), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    cached_bundles = absolute(cached_bundles)
    if cached_bundles is not None and is_intact(cached_bundles):
        outputnode.inputs.bundles = str(cached_bundles)
        return workflow
    make = pe.Node(MakeBundleSet(), name='make', mem_gb=mem_gb)
    if cached_bundles is not None:
        make.inputs.out_file = str(cached_bundles)
    table = [(field, field) for field in ('table', 'streamlines_total', 'weighting')]
    workflow.connect([(inputnode, make, [*table]), (make, outputnode, [('out_file', 'bundles')])])
    if engine != 'mrtrix':
        workflow.connect([(inputnode, make, [('index', 'index')])])
        return workflow
    split = pe.Node(SplitBundles(), name='split', mem_gb=mem_gb)
    densities = pe.MapNode(
        TCKMap(), iterfield=['in_weights'], name='densities', n_procs=omp_nthreads, mem_gb=mem_gb
    )
    if tck_upsample is not None:
        densities.inputs.upsample = tck_upsample
    workflow.connect([
        (inputnode, split, [*table]),
        (inputnode, densities, [('tracks', 'in_tracks'), ('full_tdi', 'template')]),
        (split, densities, [('out_files', 'in_weights')]),
        (densities, make, [('out_file', 'in_densities')]),
    ])  # fmt: skip
    return workflow


def init_bundles_wf(*, most_sampled: int = 0, mem_gb: float = SMALL, name: str = 'bundles_wf') -> Workflow:
    """Compute the disconnection of each bundle by a lesion.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.bundles import init_bundles_wf

            wf = init_bundles_wf()

    Parameters
    ----------
    most_sampled : int
        Number of streamlines in the sample, see :func:`lacuna.workflows.snm.init_snm_wf`; 0 for none.
    mem_gb : float
        Memory of the node in GB.
    name : str

    Inputs
    ------
    bundles
        From :func:`init_bundle_set_wf`.
    mask
        Lesion mask, binary or graded, on any grid of the tractogram's space.
    selected
        Indices of the disconnected streamlines, from 0 (``.npy``, or text).
    weighting
        Weights and lengths of the streamlines, as above; optional.

    Outputs
    -------
    bundle_disconnection
        Table (``.tsv``) with a row per bundle, see :class:`lacuna.streamlines.bundles.BundleDisconnection`.
    sample_bundles
        Bundles of the streamlines in the sample (``.tsv``); if `most_sampled`.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.bundles()
    inputnode = pe.Node(
        niu.IdentityInterface(fields=['bundles', 'mask', 'selected', 'weighting']), name='inputnode'
    )
    outputnode = pe.Node(niu.IdentityInterface(fields=list(BUNDLE_FIELDS)), name='outputnode')
    table = pe.Node(BundleTable(most_sampled=most_sampled), name='table', mem_gb=mem_gb)
    workflow.connect([
        (inputnode, table, [(field, field) for field in ('bundles', 'mask', 'selected', 'weighting')]),
        (table, outputnode, [('out_file', 'bundle_disconnection'), ('sample', 'sample_bundles')]),
    ])  # fmt: skip
    return workflow
