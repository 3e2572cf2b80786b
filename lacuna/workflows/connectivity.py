"""Workflows for connections between parcels: assigned once per tractogram and atlas, then combined with each lesion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.errors import InputError, check_choice
from lacuna.interfaces.bids import SaveFile
from lacuna.interfaces.connectivity import Connectivity, MakeEndpointTable, PrepareParcellation
from lacuna.interfaces.index import AssignEndpoints
from lacuna.interfaces.mrtrix import TCK2Connectome
from lacuna.streamlines.endpoints import EDGE_MEASURES, RULES
from lacuna.utils.cache import is_intact
from lacuna.utils.files import absolute
from lacuna.workflows import methods
from lacuna.workflows.literate import Workflow
from lacuna.workflows.resources import SMALL

CONNECTIVITY_FIELDS = (
    'disconnection_matrix',
    'mask_matrix',
    'intact_matrix',
    'full_matrix',
    'matrix_statistics',
    'roi_disconnection',
    'parcel_support',
)
LENGTH_FIELDS = ('mean_length_matrix', 'mean_length_cut_matrix', 'mean_length_spared_matrix')
NETWORK_FIELDS = ('network_disconnection', 'network_matrix')
HIGHER_ORDER_FIELDS = ('delta_sspl', 'indirect_disconnection', 'parcel_delta_sspl', 'higher_order_statistics')


def check_atlas_names(names: Sequence[str]) -> None:
    """Raise an error if names of atlases cannot be used in field and file names.

    >>> check_atlas_names(['schaefer2018parcels100networks7', 'aal3'])

    Raises
    ------
    InputError
        If a name is not alphanumeric, or is used twice.
    """
    if isinstance(names, str):
        message = f"atlases={names!r} is one name; give a list: ['{names}']"
        raise InputError(message)
    for name in names:
        if not re.fullmatch('[0-9A-Za-z]+', name):
            message = f"the atlas name '{name}' may only have letters and digits, as in BIDS file names"
            raise InputError(message)
    if repeated := sorted({name for name in names if list(names).count(name) > 1}):
        message = f'the atlas name {", ".join(repeated)} is used more than once'
        raise InputError(message)


def init_parcellation_wf(
    *,
    space: str,
    atlas: str = 'custom',
    atlas_space: str | None = None,
    atlas_transform: Path | None = None,
    engine: str = 'index',
    assignment: str = 'radial',
    cached_endpoints: Path | None = None,
    omp_nthreads: int = 1,
    mem_gb: float = 1.0,
    name: str = 'parcellation_wf',
) -> Workflow:
    """Assign both ends of every streamline to parcels, once per tractogram and atlas.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.connectivity import init_parcellation_wf

            wf = init_parcellation_wf(space='MNI152NLin6Asym')

    Parameters
    ----------
    space : str
        Standard space of the tractogram.
    atlas : str
        Name of the atlas.
    atlas_space : str, optional
        Standard space of the label image, if different.
    atlas_transform : pathlib.Path, optional
        Moves points from `space` to `atlas_space`: the labels are then resampled to the 1 mm grid of `space`.
    engine : str
        ``index`` or ``mrtrix``; the results are the same.
    assignment : str
        How ends are assigned: ``radial``, to the nearest parcel within 4 mm; ``end-voxels``, to that of their voxel.
    cached_endpoints : pathlib.Path, optional
        File in which the table is cached (``.npz``). An existing file is used unless it is damaged, so its name must identify
        the content of tractogram and atlas.
    omp_nthreads : int
        Number of threads of each node.
    mem_gb : float
        Memory in GB of nodes that process streamlines, see :mod:`lacuna.workflows.resources`.
    name : str

    Inputs
    ------
    tracks
        Tractogram (``.tck``); with the engine ``mrtrix``.
    index
        Streamline index from :func:`lacuna.workflows.connectome.init_connectome_wf`; with the engine ``index``.
    image, labels
        Label image and label table, see :func:`lacuna.images.labels.read_labels`.

    Outputs
    -------
    endpoints
        Endpoint table for :func:`init_connectivity_wf`, see :class:`lacuna.streamlines.endpoints.EndpointTable`.
    """
    check_atlas_names([atlas])
    check_choice('assignment', assignment, RULES)
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.endpoints(atlas, engine, assignment)
    source = 'tracks' if engine == 'mrtrix' else 'index'
    inputnode = pe.Node(niu.IdentityInterface(fields=[source, 'image', 'labels']), name='inputnode')
    outputnode = pe.Node(niu.IdentityInterface(fields=['endpoints']), name='outputnode')
    workflow.add_nodes([inputnode, outputnode])
    cached_endpoints = absolute(cached_endpoints)
    if cached_endpoints is not None and is_intact(cached_endpoints):
        outputnode.inputs.endpoints = str(cached_endpoints)
        return workflow

    prepare = pe.Node(
        PrepareParcellation(space=atlas_space or space, name=atlas), name='prepare', mem_gb=SMALL
    )
    if atlas_transform is not None:
        prepare.inputs.transform = str(absolute(atlas_transform))
        prepare.inputs.target_space = space
    workflow.connect([(inputnode, prepare, [('image', 'image'), ('labels', 'labels')])])
    if engine == 'mrtrix':
        assign = pe.Node(
            TCK2Connectome(out_assignments='assignments.txt'),
            name='assign',
            n_procs=omp_nthreads,
            mem_gb=mem_gb,
        )
        table = pe.Node(MakeEndpointTable(), name='table', mem_gb=mem_gb)
        if assignment == 'end-voxels':
            assign.inputs.end_voxels = True
        workflow.connect([
            (inputnode, assign, [('tracks', 'in_tracks')]),
            (prepare, assign, [('out_image', 'in_parcels')]),
            (assign, table, [('out_assignments', 'assignments')]),
            (prepare, table, [('out_image', 'in_parcels'), ('names', 'names')]),
        ])  # fmt: skip
    else:
        table = pe.Node(
            AssignEndpoints(assignment=assignment), name='assign', n_procs=omp_nthreads, mem_gb=mem_gb
        )
        if cached_endpoints is not None:
            table.inputs.out_file = str(cached_endpoints)
        workflow.connect([
            (inputnode, table, [('index', 'index')]),
            (prepare, table, [('out_image', 'in_parcels'), ('names', 'names')]),
        ])  # fmt: skip
    if cached_endpoints is None or engine == 'index':
        workflow.connect([(table, outputnode, [('out_file', 'endpoints')])])
        return workflow
    keep = pe.Node(
        SaveFile(out_path=str(cached_endpoints), sealed=True), name='keep', run_without_submitting=True
    )
    workflow.connect([
        (table, keep, [('out_file', 'in_file')]),
        (keep, outputnode, [('out_file', 'endpoints')]),
    ])  # fmt: skip
    return workflow


def init_connectivity_wf(
    *,
    outputs: Sequence[str] = CONNECTIVITY_FIELDS,
    networks: Sequence[str] = (),
    spared_threshold: float = 50.0,
    edge_measure: str = EDGE_MEASURES[0],
    mem_gb: float = 0.5,
    name: str = 'connectivity_wf',
) -> Workflow:
    """Compute the disconnection of the connections between the parcels of an atlas by a lesion.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.workflows.connectivity import init_connectivity_wf

            wf = init_connectivity_wf()

    Parameters
    ----------
    outputs : sequence of str
        Outputs to make; by default, those that need neither networks nor paths.
    networks : sequence of str
        Network of each parcel, empty for parcels without; for outputs about networks.
    spared_threshold : float
        Minimum percentage of a connection that must be spared for paths to use it; for outputs about paths.
    edge_measure : str
        What is summed over the streamlines between two parcels, see
        :class:`lacuna.streamlines.connections.Connections`.
    mem_gb : float
        Memory of the node in GB.
    name : str

    Inputs
    ------
    endpoints
        From :func:`init_parcellation_wf`.
    selected
        Indices of the disconnected streamlines, from 0 (``.npy``, or text).
    weighting
        Weights and lengths of the streamlines, from :class:`lacuna.interfaces.streamlines.WeighStreamlines`;
        optional, except for mean lengths.

    Outputs
    -------
    disconnection_matrix, mask_matrix, intact_matrix, full_matrix
        Tables (``.tsv``) of all pairs of parcels.
    roi_disconnection, parcel_support
        Tables of the parcels: percentages, and the counts behind them.
    matrix_statistics
        Statistics as JSON.
    network_disconnection, network_matrix
        Tables of the networks, and of all pairs of networks.
    mean_length_matrix, mean_length_cut_matrix, mean_length_spared_matrix
        Tables of mean lengths, of all pairs of parcels.
    delta_sspl, indirect_disconnection, parcel_delta_sspl, higher_order_statistics
        Tables of the lengthening of shortest paths, see :func:`lacuna.measures.higher_order`, and statistics as JSON.
    """
    workflow = Workflow(name=name)
    workflow.__desc__ = methods.connectivity() + methods.of_outputs(outputs, spared_threshold, edge_measure)
    inputnode = pe.Node(
        niu.IdentityInterface(fields=['endpoints', 'selected', 'weighting']), name='inputnode'
    )
    outputnode = pe.Node(niu.IdentityInterface(fields=list(outputs)), name='outputnode')
    join = pe.Node(
        Connectivity(outputs=list(outputs), spared_threshold=spared_threshold, edge_measure=edge_measure),
        name='join',
        mem_gb=mem_gb,
    )
    if networks:
        join.inputs.networks = list(networks)
    workflow.connect([
        (inputnode, join, [(field, field) for field in ('endpoints', 'selected', 'weighting')]),
        (join, outputnode, [(field, field) for field in outputs]),
    ])  # fmt: skip
    return workflow
