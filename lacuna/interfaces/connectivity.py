"""Nodes that assign the ends of streamlines to parcels, and compute the connections that a lesion cuts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    isdefined,
    traits,
)

from lacuna.bids.matrices import connection_file
from lacuna.bids.outputs import outputs
from lacuna.errors import InputError
from lacuna.images.atlases import Atlas, move_parcellation, read_parcellation
from lacuna.images.nifti import load, save, voxels
from lacuna.images.spaces import standard_grid
from lacuna.images.transforms import PointTransform
from lacuna.streamlines.connections import Connections, CutConnections
from lacuna.streamlines.endpoints import EDGE_MEASURES, EndpointTable
from lacuna.streamlines.weighting import Cut, Weighting

#: MRtrix3 reads weights as float32, which is exact for integers up to this one
MOST_STREAMLINES = 2**24


class _AtlasInputSpec(BaseInterfaceInputSpec):
    image = File(exists=True, mandatory=True, desc='image of the atlas')
    labels = File(exists=True, mandatory=True, desc='label table')
    space = traits.Str(mandatory=True, desc='standard space of the image')
    name = traits.Str('custom', usedefault=True, desc='name of the atlas')
    target_space = traits.Str(requires=['transform'], desc='space to move the atlas to, if different')
    transform = File(exists=True, desc='moves points from the target space to that of the image (ITK, .h5)')


class _PrepareParcellationOutputSpec(TraitedSpec):
    out_image = File(exists=True, desc='row of the label table in each voxel, from 1; 0 outside')
    names = File(exists=True, desc='names of the rows (JSON list)')


class PrepareParcellation(SimpleInterface):
    """Read an atlas of labels, and number its parcels by the rows of its label table.

    Thus gaps in the label values neither shift names nor enlarge MRtrix3's matrices.
    """

    input_spec = _AtlasInputSpec
    output_spec = _PrepareParcellationOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        atlas = Atlas(inputs.name, Path(inputs.image), Path(inputs.labels), inputs.space, 'given')
        parcellation = read_parcellation(atlas)
        if isdefined(inputs.target_space):
            transform = PointTransform(inputs.transform)
            parcellation = move_parcellation(parcellation, standard_grid(inputs.target_space, 1), transform)
        image = Path(runtime.cwd, 'parcels.nii.gz')
        self._results['out_image'] = save(parcellation.image(), image)
        names = Path(runtime.cwd, 'names.json')
        names.write_text(json.dumps(parcellation.names), encoding='utf-8')
        self._results['names'] = str(names)
        return runtime


class _MakeEndpointTableInputSpec(BaseInterfaceInputSpec):
    assignments = File(exists=True, mandatory=True, desc='from tck2connectome -out_assignments')
    in_parcels = File(exists=True, mandatory=True, desc='index of the parcel in each voxel, from 1')
    names = File(exists=True, mandatory=True, desc='from PrepareParcellation')


class _MakeEndpointTableOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='endpoint table (.npz)')


class MakeEndpointTable(SimpleInterface):
    """Create the endpoint table of an atlas from MRtrix3's assignments."""

    input_spec = _MakeEndpointTableInputSpec
    output_spec = _MakeEndpointTableOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        import pandas as pd

        pairs = pd.read_csv(self.inputs.assignments, sep=r'\s+', header=None, comment='#', dtype=np.int32)
        names = tuple(json.loads(Path(self.inputs.names).read_text(encoding='utf-8')))
        target = Path(runtime.cwd, 'endpoints.npz')
        parcels = voxels(load(self.inputs.in_parcels))
        self._results['out_file'] = str(EndpointTable.of(pairs.to_numpy(), names, parcels).save(target))
        return runtime


class _NumberStreamlinesInputSpec(BaseInterfaceInputSpec):
    count = traits.Int(mandatory=True, desc='number of streamlines in the tractogram')
    weighting = File(exists=True, desc='which streamlines to use, from WeighStreamlines')


class _NumberStreamlinesOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc='index of each streamline, from 0; -1 for unused ones')


class NumberStreamlines(SimpleInterface):
    """Write the index of each streamline as its weight, so that ``tckedit`` returns the indices of selected streamlines.

    Unused streamlines get -1, so that ``tckedit -minweight 0`` leaves them out.

    Raises
    ------
    lacuna.errors.InputError
        If there are more streamlines than float32 can distinguish.
    """

    input_spec = _NumberStreamlinesInputSpec
    output_spec = _NumberStreamlinesOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        if self.inputs.count > MOST_STREAMLINES:
            message = (
                f'{self.inputs.count} streamlines are more than MRtrix3 can number ({MOST_STREAMLINES}); '
                'matrices of such a tractogram need --engine index'
            )
            raise InputError(message)
        target = Path(runtime.cwd, 'numbers.txt')
        numbers = np.arange(self.inputs.count)
        if (kept := read_weighting(self.inputs.weighting).kept) is not None:
            numbers[~kept] = -1
        target.write_text('\n'.join(map(str, numbers.tolist())))
        self._results['out_file'] = str(target)
        return runtime


class _ConnectivityInputSpec(BaseInterfaceInputSpec):
    endpoints = File(exists=True, mandatory=True, desc='endpoint table')
    selected = File(
        exists=True, mandatory=True, desc='indices of the disconnected streamlines (.npy, or text)'
    )
    weighting = File(exists=True, desc='weights of the streamlines, from WeighStreamlines')
    edge_measure = traits.Enum(
        *EDGE_MEASURES, usedefault=True, desc='what is summed over the streamlines of a connection'
    )
    outputs = traits.List(traits.Str, mandatory=True, desc='names of the outputs to write')
    networks = traits.List(traits.Str, desc='network of each parcel; empty for parcels without')
    spared_threshold = traits.Float(
        50.0,
        usedefault=True,
        desc='minimum percentage of a connection that must be spared for paths to use it',
    )


class _ConnectivityOutputSpec(TraitedSpec):
    disconnection_matrix = File(desc='percentage of the streamlines of each pair that are cut')
    mask_matrix = File(desc='number of streamlines cut, by pair')
    intact_matrix = File(desc='number of streamlines spared, by pair')
    full_matrix = File(desc='number of streamlines, by pair')
    mean_length_matrix = File(desc='mean length of the streamlines, by pair')
    mean_length_cut_matrix = File(desc='mean length of the streamlines cut, by pair')
    mean_length_spared_matrix = File(desc='mean length of the streamlines spared, by pair')
    matrix_statistics = File(desc='JSON')
    roi_disconnection = File(desc='percentage of the streamlines of each parcel that are cut')
    parcel_support = File(desc='number of streamlines of each parcel, and interval of the percentage')
    network_disconnection = File(desc='percentage of the streamlines of each network that are cut')
    network_matrix = File(desc='percentage of the streamlines of each pair of networks that are cut')
    delta_sspl = File(desc='additional steps of the shortest path, by pair')
    indirect_disconnection = File(desc='additional steps of the shortest path, of pairs not cut directly')
    parcel_delta_sspl = File(desc='mean number of additional steps, by parcel')
    higher_order_statistics = File(desc='JSON')


class Connectivity(SimpleInterface):
    """Write the disconnection of the connections between the parcels of an atlas by one lesion."""

    input_spec = _ConnectivityInputSpec
    output_spec = _ConnectivityOutputSpec

    def _run_interface(self, runtime: Any) -> Any:
        inputs = self.inputs
        weighting = read_weighting(inputs.weighting)
        whole = Connections(EndpointTable.load(inputs.endpoints), weighting, inputs.edge_measure)
        networks = tuple(inputs.networks) if isdefined(inputs.networks) else ()
        cut = read_cut(inputs.selected, weighting)
        found = CutConnections(whole, cut, networks, inputs.spared_threshold)
        for key in inputs.outputs:
            target = Path(runtime.cwd, f'{key}{outputs()[key].extension}')
            target.write_bytes(connection_file(key, found))
            self._results[key] = str(target)
        return runtime


def read_weighting(path: Any) -> Weighting:
    """Read weights and lengths of the streamlines, and which to use; without a file, all with weight 1."""
    return Weighting.load(path) if isdefined(path) else Weighting()


def save_selection(ids: np.ndarray, grades: np.ndarray | None, folder: Path) -> Path:
    """Write the streamlines that a mask cuts, and how strongly it cuts each (None: fully), for `read_cut`."""
    if grades is None:
        path = folder / 'selected.npy'
        np.save(path, ids)
    else:
        path = folder / 'selected.npz'
        np.savez(path, ids=ids, grades=grades)
    return path


def read_cut(path: str | Path, weighting: Weighting) -> Cut:
    """Read the selected streamlines, and how much each counts."""
    path = Path(path)
    if path.suffix == '.npz':
        with np.load(path, allow_pickle=False) as content:
            return weighting.cut(content['ids'], content['grades'])
    if path.suffix == '.npy':
        return weighting.cut(np.load(path, allow_pickle=False))
    return weighting.cut(np.array(path.read_text().split(), np.int64))
