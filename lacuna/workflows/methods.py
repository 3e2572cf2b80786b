"""The steps in sentences, with citation keys: what the workflows say of themselves, and what a run writes down."""

from __future__ import annotations

from collections.abc import Iterable


def moved(source: str, target: str) -> str:
    """Of the streamlines that are moved from one standard space to another."""
    return (
        f'The vertices of the streamlines were moved from {source} to {target} with the transform of '
        '*TemplateFlow* [@templateflow]. '
    )


def full_density(space: str, resolution: int, engine: str) -> str:
    """Of the density of the whole tractogram."""
    how = '`tckmap`, *MRtrix3*' if engine == 'mrtrix' else 'from an index of the streamlines, as in *MRtrix3*'
    return (
        'The number of streamlines of the normative tractogram that visit each voxel was mapped on the standard '
        f'{resolution} mm grid of {space} ({how} [@mrtrix3; @tdi]). '
    )


#: the rules by which an end is assigned to a parcel
_RULES = {'radial': 'nearest parcel within 4 mm', 'end-voxels': 'that of the voxel of the end'}


def endpoints(atlas: str, engine: str, assignment: str = 'radial') -> str:
    """Of the parcels at the ends of the streamlines."""
    how = '`tck2connectome`' if engine == 'mrtrix' else 'as in `tck2connectome`'
    return (
        f'The ends of the streamlines were assigned to the parcels of the atlas {atlas} ({_RULES[assignment]}, '
        f'{how}). '
    )


def selection(engine: str) -> str:
    """Of the streamlines that a lesion cuts."""
    if engine == 'mrtrix':
        return (
            'Streamlines with a vertex inside the lesion mask, on its own grid, were selected (`tckedit`), and those '
            'that visit each voxel were counted (`tckmap`). '
        )
    return (
        'Streamlines with a vertex inside the lesion mask, on its own grid, were selected from an index of the '
        'tractogram, and those that visit each voxel were counted. '
    )


def ratio() -> str:
    """Of the disconnection map."""
    return 'The voxel-wise disconnection is their share of all streamlines of the voxel, in percent. '


def connectivity() -> str:
    """Of matrices and parcels."""
    return (
        'The disconnection of two parcels is the percentage of the streamlines between them that pass through the '
        'lesion; that of a parcel is the percentage of all its streamlines. '
    )


def methods_text(
    spaces: Iterable[str],
    *,
    tractogram_space: str,
    moved_to: Iterable[str],
    resolution: int,
    engine: str,
    atlases: Iterable[str],
) -> str:
    """All steps of a run, each once.

    Parameters
    ----------
    spaces : iterable of str
        Of the masks.
    tractogram_space : str
    moved_to : iterable of str
        Those of `spaces` into which the streamlines are moved.
    resolution : int
        Edge of the voxels in mm.
    engine : str
        ``index`` or ``mrtrix``.
    atlases : iterable of str
        Their names.
    """
    spaces, moved_to, atlases = list(spaces), set(moved_to), list(atlases)
    sentences = []
    for space in spaces:
        sentences += [moved(tractogram_space, space)] if space in moved_to else []
        sentences.append(full_density(space, resolution, engine))
    sentences += [endpoints(atlas, engine) for atlas in atlases]
    sentences += [selection(engine), ratio(), *([connectivity()] if atlases else [])]
    return ''.join(dict.fromkeys(sentences))
