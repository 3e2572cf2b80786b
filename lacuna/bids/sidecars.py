"""Sidecars: what goes into them, and in what two differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lacuna.bids.outputs import Output, Target, outputs


def _about(output: Output) -> dict[str, Any]:
    return {'Description': output.about} | ({'Units': output.units} if output.units else {})


def sidecar_for(
    target: Target, metadata: Mapping[str, Any], atlases: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The sidecar of one output of a mask.

    Parameters
    ----------
    target : lacuna.bids.outputs.Target
    metadata : mapping
        What the sidecars of the mask have in common.
    atlases : mapping
        What sidecars say of each atlas.
    """
    sidecar = {**_about(outputs()[target.key]), **metadata}
    if target.atlas:
        atlas = atlases[target.atlas]
        # a table has no grid, and no density under it
        sidecar = {key: value for key, value in sidecar.items() if key not in ('Resolution', 'Denominator')}
        sidecar['Sources'] = [*metadata['Sources'][:2], *atlas['Sources']]
        sidecar['Atlas'] = {key: value for key, value in atlas.items() if key != 'Sources'}
    return sidecar


_BINARIZE = ('Parameters', 'Binarize')

#: what decides the numbers: the place in the sidecar, and how to call it
_IDENTITY = {
    ('Tractogram', 'SHA256'): 'content of the tractogram (sha256)',
    ('Tractogram', 'Space'): 'space of the tractogram',
    ('Tractogram', 'MovedWith', 'SHA256'): 'transform of the streamlines (sha256)',
    ('Mask', 'SHA256'): 'content of the mask (sha256)',
    ('Space',): 'space',
    ('Parameters', 'OutputResolution'): 'output resolution (mm)',
    ('Parameters', 'TckUpsample'): 'upsampling of streamlines',
    ('Atlas', 'SHA256'): 'content of the atlas (sha256)',
    _BINARIZE: 'value above which a mask is lesion',
}

#: what is meant where a sidecar does not say it
_UNSAID: dict[tuple[str, ...], Any] = {_BINARIZE: 'none'}


def differences(on_disk: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What of that which decides the numbers differs between two sidecars, in words.

    >>> differences({'Parameters': {'OutputResolution': 2}}, {'Parameters': {'OutputResolution': 1}})
    ['output resolution (mm): 2 on disk, 1 now']
    """
    found = []
    for keys, name in _IDENTITY.items():
        old, new = (_dig(sidecar, keys, _UNSAID.get(keys)) for sidecar in (on_disk, wanted))
        if new is not None and old != new:
            found.append(f'{name}: {_short(old)} on disk, {_short(new)} now')
    return found


def identity(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the numbers of a result besides its mask, by its name in words: the same for all of a cohort."""
    return {
        name: _dig(sidecar, keys, _UNSAID.get(keys)) for keys, name in _IDENTITY.items() if keys[0] != 'Mask'
    }


def _dig(content: Any, keys: Sequence[str], unsaid: Any = None) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return unsaid if content is None else content


def _short(value: Any) -> str:
    text = 'unknown' if value is None else str(value)
    return text[:12] + '...' if len(text) == 64 else text
