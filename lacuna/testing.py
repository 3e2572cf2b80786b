"""Toy data with known answers, and an audit of workflow graphs, for tests of Lacuna and of programs that embed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lacuna.images.nifti import make, save
from lacuna.images.spaces import standard_grid
from lacuna.streamlines.files.tck import write_tck

if TYPE_CHECKING:
    from nipype.pipeline.engine import Workflow

#: trait metadata that nipype or Lacuna understands; anything else is a mistake
TRAIT_METADATA = frozenset(
    [
        'argstr',
        'array',
        'copy',
        'copyfile',
        'default',
        'desc',
        'deprecated',
        'exists',
        'extensions',
        'field',
        'genfile',
        'hash_files',
        'keep_extension',
        'mandatory',
        'max_ver',
        'min_ver',
        'minlen',
        'maxlen',
        'name_source',
        'name_template',
        'new_name',
        'nohash',
        'numpy_copy',
        'output_name',
        'position',
        'requires',
        'rich_compare',
        'sep',
        'type',
        'units',
        'usedefault',
        'xor',
        'parent',
        'trait_modified',
        'trait_added',
        'comparison_mode',
        'transient',
        'editable',
    ]
)


@dataclass(frozen=True)
class Toy:
    """A tractogram of straight lines and a lesion, whose disconnection can be counted by hand.

    Fifteen lines run along x from -20 to 20 mm, at y = 0, 4, 8, 12, 16 and z = 0, 4, 8 mm; each has a twin from -20 to
    -10 mm. The lesion is the box -2 <= x <= 2, -2 <= y <= 18, -2 <= z <= 6: it cuts the ten long lines at z = 0 and 4,
    but no twin and no line at z = 8. So voxels of a cut line have 100 percent where the line is alone (x > -8), and 50
    percent where it has its twin (x < -12).

    Attributes
    ----------
    tracks, mask : pathlib.Path
        Paths, in MNI152NLin6Asym; the mask is on the standard 1 mm grid.
    streamlines, disconnected : int
        Numbers of streamlines: 30 and 10.
    """

    tracks: Path
    mask: Path
    streamlines: int = 30
    disconnected: int = 10


def toy_streamlines() -> list[np.ndarray]:
    """Return the streamlines of `Toy`, with a vertex every mm."""
    lines = []
    for y in (0, 4, 8, 12, 16):
        for z in (0, 4, 8):
            for end in (20, -10):
                x = np.arange(-20, end + 1)
                lines.append(np.column_stack([x, np.full_like(x, y), np.full_like(x, z)]).astype(np.float32))
    return lines


def write_toy(folder: Path, name: str = 'sub-01_space-MNI152NLin6Asym_label-lesion_mask.nii.gz') -> Toy:
    """Write the toy's tractogram (with a sidecar) and mask (as a BIDS dataset) into a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Existing folder.
    name : str
        File name of the mask.

    Returns
    -------
    Toy
    """
    tracks = folder / 'toy.tck'
    write_tck(tracks, toy_streamlines())
    tracks.with_suffix('.json').write_text('{"Space": "MNI152NLin6Asym"}')
    grid = standard_grid('MNI152NLin6Asym', 1)
    x, y, z = world_coordinates(grid.shape, grid.affine)
    lesion = (abs(x) <= 2) & (y >= -2) & (y <= 18) & (z >= -2) & (z <= 6)
    mask = folder / 'bids' / 'sub-01' / 'anat' / name
    write_mask(mask, lesion, grid.affine)
    (folder / 'bids' / 'dataset_description.json').write_text(
        '{"Name": "toy", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "toy"}]}'
    )
    return Toy(tracks, mask)


def world_coordinates(shape: Sequence[int], affine: np.ndarray) -> np.ndarray:
    """Return the world coordinates (mm) of all voxels; (3, x, y, z)."""
    i, j, k = np.ogrid[tuple(map(slice, shape))]
    return np.stack([row[0] * i + row[1] * j + row[2] * k + row[3] for row in affine[:3]])


def write_mask(path: Path, data: np.ndarray, affine: np.ndarray, dtype: str = 'uint8') -> Path:
    """Write a mask as NIfTI image with a valid affine."""
    save(make(data.astype(dtype), affine), path)
    return path


def audit_graph(workflow: Workflow) -> list[str]:
    """Find faults of a workflow that would show only when it runs, or not at all.

    Parameters
    ----------
    workflow : nipype.pipeline.engine.Workflow

    Returns
    -------
    list of str
        Connections to missing fields of an IdentityInterface, mandatory inputs that are neither set nor connected,
        unknown trait metadata, and sub-workflows whose methods text would be lost.
    """
    problems = set(_audit_connections(workflow))
    flat = workflow._create_flat_graph()
    for node in flat.nodes:
        wired = {name for *_, data in flat.in_edges(node, data=True) for _, name in data['connect']}
        problems.update(_audit_node(node, wired))
    return sorted(problems)


def _audit_connections(workflow: Workflow) -> list[str]:
    from nipype.interfaces.utility import IdentityInterface
    from nipype.pipeline.engine import Workflow as PlainWorkflow
    from niworkflows.engine.workflows import LiterateWorkflow

    problems = []
    for source, target, data in workflow._graph.edges(data=True):
        for out, field in data['connect']:
            for node, name in ((source, out[0] if isinstance(out, tuple) else out), (target, field)):
                interface = getattr(node, 'interface', None)
                if isinstance(interface, IdentityInterface) and name not in interface._fields:
                    problems.append(f'{node.fullname}: no field {name!r}')
    for child in workflow._graph.nodes:
        if isinstance(child, PlainWorkflow):
            problems += _audit_connections(child)
            if not isinstance(child, LiterateWorkflow):
                problems.append(f'{child.fullname}: not a LiterateWorkflow, its methods text is lost')
    return problems


def _audit_node(node: Any, wired: set[str]) -> list[str]:
    from nipype.interfaces.base import isdefined

    inputs = node.interface.inputs
    problems = [
        f'{node.fullname}.{name}: mandatory, not set'
        for name in inputs.traits(mandatory=True)
        if name not in wired and not isdefined(getattr(node.inputs, name))
    ]
    for spec in (inputs, node.interface.output_spec and node.interface.output_spec()):
        for name, trait in (spec.traits() if spec else {}).items():
            unknown = {key for key in trait.__dict__ if not key.startswith('_')} - TRAIT_METADATA
            problems += [f'{node.fullname}.{name}: unknown trait metadata {key!r}' for key in sorted(unknown)]
    return problems
