"""Workflow that compares a lesion with null lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.bids.outputs import Target, names_from
from lacuna.images.masks import KnownMask
from lacuna.interfaces.nulls import CompareWithNulls
from lacuna.streamlines.endpoints import EDGE_MEASURES
from lacuna.streamlines.null_settings import NullSettings
from lacuna.workflows import methods
from lacuna.workflows.literate import Workflow
from lacuna.workflows.resources import of_nulls

#: outputs without atlases and bundles
NULL_TARGETS = (Target('null_percentile'), Target('null_z'), Target('null_statistics'))


def init_null_wf(
    *,
    space: str,
    settings: NullSettings,
    targets: Sequence[Target] = NULL_TARGETS,
    networks: Mapping[str, Sequence[str]] = MappingProxyType({}),
    edge_measure: str = EDGE_MEASURES[0],
    packed: KnownMask | None = None,
    omp_nthreads: int = 1,
    name: str = 'null_wf',
) -> Workflow:
    """Compare the disconnection by a lesion with that by null lesions of the same volume and shape.

    Workflow Graph
        .. workflow::
            :graph2use: orig
            :simple_form: yes

            from lacuna.streamlines.null_settings import NullSettings
            from lacuna.workflows.nulls import init_null_wf

            wf = init_null_wf(space='MNI152NLin6Asym', settings=NullSettings())

    Parameters
    ----------
    space : str
        Standard space of the mask.
    settings : lacuna.streamlines.null_settings.NullSettings
    targets : sequence of lacuna.bids.outputs.Target
        Outputs about null lesions, including those of atlases and bundles.
    networks : mapping
        Network of each parcel, by name of the atlas.
    edge_measure : str
        See :func:`lacuna.workflows.connectivity.init_connectivity_wf`.
    packed : lacuna.images.masks.PackedMask or lacuna.images.masks.UnreadMask, optional
        The mask, if already read.
    omp_nthreads : int
        Number of threads.
    name : str

    Inputs
    ------
    mask
        Lesion mask, binary or graded, on any grid of the space.
    index
        Streamline index from :func:`lacuna.workflows.connectome.init_connectome_wf`.
    weighting
        Weights of the streamlines from :class:`lacuna.interfaces.streamlines.WeighStreamlines`; optional.
    endpoints_<atlas>
        Endpoint table of each atlas, from :func:`lacuna.workflows.connectivity.init_parcellation_wf`.
    bundles_<name>
        From :func:`lacuna.workflows.bundles.init_bundle_set_wf`.

    Outputs
    -------
    null_percentile, null_z, null_statistics
        Maps, and statistics as JSON.
    null_bundles_<name>, null_parcels_<atlas>, null_networks_<atlas>, null_matrix_<atlas>, expected_matrix_<atlas>
        Tables (``.tsv``), as requested in `targets`.
    """
    workflow = Workflow(name=name)
    reference, tissues = (
        tuple(Path(path).absolute() for path in paths) for paths in (settings.reference, settings.tissues)
    )
    workflow.__desc__ = methods.nulls(settings.n, settings.within)
    atlases, bundles = names_from('endpoints', targets), names_from('bundles', targets)
    tables = [*(f'endpoints_{atlas}' for atlas in atlases), *(f'bundles_{each}' for each in bundles)]
    fields = [target.field for target in targets]
    inputnode = pe.Node(
        niu.IdentityInterface(fields=['mask', 'index', 'weighting', *tables]), name='inputnode'
    )
    outputnode = pe.Node(niu.IdentityInterface(fields=fields), name='outputnode')
    nulls = pe.Node(
        CompareWithNulls(
            targets=targets,
            space=space,
            edge_measure=edge_measure,
            settings=replace(settings, reference=reference, tissues=tissues),
            images=[str(path) for path in (*reference, *tissues)],
            atlases=atlases,
            networks={atlas: list(networks.get(atlas, ())) for atlas in atlases},
            num_threads=omp_nthreads,
        ),
        name='nulls',
        n_procs=omp_nthreads,
        mem_gb=of_nulls(omp_nthreads),
    )
    if packed is not None:
        nulls.inputs.packed = packed
    workflow.connect([
        (inputnode, nulls, [('mask', 'in_mask'), ('index', 'index'), ('weighting', 'weighting')]),
        (nulls, outputnode, [(field, field) for field in fields]),
    ])  # fmt: skip
    if atlases:
        merge = pe.Node(niu.Merge(len(atlases)), name='merge', run_without_submitting=True)
        workflow.connect([
            (inputnode, merge, [(f'endpoints_{atlas}', f'in{row}') for row, atlas in enumerate(atlases, 1)]),
            (merge, nulls, [('out', 'endpoints')]),
        ])  # fmt: skip
    for each in bundles[:1]:
        workflow.connect([(inputnode, nulls, [(f'bundles_{each}', 'bundles')])])
    return workflow
