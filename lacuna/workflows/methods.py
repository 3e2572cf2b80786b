"""The methods text, with citation keys: sentences for the workflows' descriptions and for the log of a run."""

from __future__ import annotations

from collections.abc import Iterable

from lacuna.bids.outputs import Target


def moved(source: str, target: str) -> str:
    """Describe the movement of streamlines from one standard space to another."""
    return (
        f'The vertices of the streamlines were moved from {source} to {target} with the transform of '
        '*TemplateFlow* [@templateflow]. '
    )


def full_density(space: str, resolution: int, engine: str) -> str:
    """Describe the density of the whole tractogram."""
    how = '`tckmap`, *MRtrix3*' if engine == 'mrtrix' else 'from an index of the streamlines, as in *MRtrix3*'
    return (
        'The number of streamlines of the normative tractogram that visit each voxel was mapped on the standard '
        f'{resolution} mm grid of {space} ({how} [@mrtrix3; @tdi]). '
    )


#: rules for assigning ends to parcels
_RULES = {'radial': 'nearest parcel within 4 mm', 'end-voxels': 'that of the voxel of the end'}


def endpoints(atlas: str, engine: str, assignment: str = 'radial') -> str:
    """Describe the assignment of streamlines' ends to parcels."""
    how = '`tck2connectome`' if engine == 'mrtrix' else 'as in `tck2connectome`'
    return (
        f'The ends of the streamlines were assigned to the parcels of the atlas {atlas} ({_RULES[assignment]}, '
        f'{how}). '
    )


def selection(engine: str, *, graded: bool = False) -> str:
    """Describe the selection of the streamlines that a lesion cuts."""
    if engine == 'mrtrix':
        found = (
            'Streamlines with a vertex inside the lesion mask, on its own grid, were selected (`tckedit`), and those '
            'visiting each voxel were counted (`tckmap`). '
        )
    else:
        found = (
            'Streamlines with a vertex inside the lesion mask, on its own grid, were selected from an index of the '
            'tractogram, and those visiting each voxel were counted. '
        )
    if graded:
        how = '`tcksample -stat_tck max`' if engine == 'mrtrix' else 'as `tcksample -stat_tck max`'
        found += (
            'For graded masks, each streamline counts as much as the greatest value of the mask along its vertices '
            f'({how}), which is the mean over all thresholds of the mask. '
        )
    return found


def ratio() -> str:
    """Describe the disconnection map."""
    return (
        'The disconnection of a voxel is the percentage of all its streamlines that pass through the lesion. '
    )


def connectivity() -> str:
    """Describe matrices and values of parcels."""
    return (
        'The disconnection of two parcels is the percentage of the streamlines between them that pass through the '
        'lesion; that of a parcel is the percentage of all streamlines that join it to other parcels. '
    )


def networks() -> str:
    """Describe the disconnection of networks."""
    return 'The disconnection of a network is the percentage of the streamlines that end in its parcels. '


def higher_order(spared_threshold: float) -> str:
    """Describe shortest paths between parcels."""
    return (
        'The number of steps by which the lesion lengthens the shortest path between two parcels was computed; paths use '
        f'pairs of parcels with at least {spared_threshold:g} % of their streamlines spared. '
    )


#: measures of connections other than counts
_MEASURES = {
    'invlength': 'its weight (1 by default) divided by its length',
    'invnodevol': 'its weight (1 by default) divided by the mean number of voxels of the two parcels',
}


def of_outputs(outputs: Iterable[str], spared_threshold: float, edge_measure: str = 'count') -> str:
    """Describe the measure of connections, and networks, paths and lengths if among the outputs."""
    outputs = set(outputs)
    found = f'Each streamline counts as {_MEASURES[edge_measure]}. ' if edge_measure in _MEASURES else ''
    found += networks() if 'network_disconnection' in outputs else ''
    found += higher_order(spared_threshold) if 'delta_sspl' in outputs else ''
    if 'mean_length_matrix' in outputs:
        found += 'The mean length of the streamlines between two parcels was computed for all, those cut and those spared. '
    return found


def counting(weights: str | None, limits: tuple[float | None, float | None]) -> str:
    """Describe weights and length limits."""
    shortest, longest = limits
    words = [f'at least {shortest:g} mm'] if shortest is not None else []
    words += [f'at most {longest:g} mm'] if longest is not None else []
    found = f'Only streamlines of {" and ".join(words)} were included, as with `tckedit`. ' if words else ''
    if weights:
        found += f'Each streamline counts as much as its weight ({weights}): numbers of streamlines below are sums of weights. '
    return found


def load() -> str:
    """Describe lesion load."""
    return 'The lesion load of a region is the percentage of its volume that is lesion. '


#: regions of null lesions
_WITHIN = {
    'brain': 'anywhere in the brain',
    'hemisphere': 'in the same hemisphere',
    'tissue': 'where the shares of grey and of white matter are within 5 points of those of the lesion',
    'reference': 'in proportion to the frequency of lesions in a cohort',
}


def nulls(n: int, within: str) -> str:
    """Describe null lesions."""
    if within == 'lesions':
        return f'The disconnection was compared with that of up to {n:,} lesions of other patients, of half to twice the volume. '
    return (
        f'The disconnection was compared with that of {n:,} null lesions of the same volume and shape, drawn from all '
        f'places and turns by right angles {_WITHIN[within]}; p values are corrected for the number of bundles or '
        'parcels by the smallest p of each null lesion [@westfall_young]. '
    )


def bundle_set() -> str:
    """Describe the voxels of bundles."""
    return 'For each named bundle of the tractogram, the voxels that its streamlines visit were found. '


def bundles() -> str:
    """Describe the disconnection of bundles."""
    return (
        'The disconnection of a bundle is the percentage of its streamlines that pass through the lesion, with '
        "Wilson's 95 % interval [@wilson]; its lesion load is the share of its volume that is lesion. "
    )


def methods_text(
    spaces: Iterable[str],
    *,
    tractogram_space: str,
    moved_to: Iterable[str],
    resolution: int,
    engine: str,
    targets: Iterable[Target],
    assignment: str = 'radial',
    spared_threshold: float = 50.0,
    edge_measure: str = 'count',
    weights: str | None = None,
    limits: tuple[float | None, float | None] = (None, None),
    graded: bool = False,
    null_lesions: int = 0,
    null_within: str = 'brain',
) -> str:
    """Describe all steps of a run, each once.

    Parameters
    ----------
    spaces : iterable of str
        Standard spaces of the masks.
    tractogram_space : str
    moved_to : iterable of str
        Those of `spaces` to which the streamlines are moved.
    resolution : int
        Voxel size in mm.
    engine : str
        ``index`` or ``mrtrix``.
    targets : iterable of lacuna.bids.outputs.Target
        Outputs of the masks.
    assignment : str
        Rule for assigning ends of streamlines to parcels.
    spared_threshold : float
        See :func:`lacuna.measures.higher_order`.
    edge_measure : str
        See :class:`lacuna.streamlines.connections.Connections`.
    weights : str, optional
        Name of the file of the weights.
    limits : tuple of float
        Shortest and longest length of streamlines, mm.
    graded : bool
        Whether masks may be graded.
    null_lesions, null_within
        See :class:`lacuna.execution.config.RunConfig`.
    """
    spaces, moved_to, targets = list(spaces), set(moved_to), list(targets)
    joined = [each for each in targets if each.made_from == 'endpoints']
    kinds = {each.made_from for each in targets}
    sentences = [counting(weights, limits)]
    for space in spaces:
        sentences += [moved(tractogram_space, space)] if space in moved_to else []
        sentences.append(full_density(space, resolution, engine))
    sentences += [endpoints(str(each.atlas), engine, assignment) for each in joined]
    sentences += [bundle_set()] if 'bundles' in kinds else []
    sentences += [selection(engine, graded=graded), ratio()]
    sentences += [bundles()] if 'bundles' in kinds else []
    sentences += [connectivity()] if joined else []
    sentences.append(
        of_outputs((each.key for each in joined), spared_threshold, edge_measure if joined else 'count')
    )
    sentences += [load()] if 'regions' in kinds else []
    sentences += [nulls(null_lesions, null_within)] if any(each.nulls for each in targets) else []
    return ''.join(dict.fromkeys(sentences))
