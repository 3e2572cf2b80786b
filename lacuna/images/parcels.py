"""Parse the names of parcels: hemisphere, network, and a short name for display."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_SCHAEFER = re.compile(r'(?:(?:7|17)Networks_)?(?P<hemi>LH|RH)_(?P<network>[A-Za-z]+)_(?P<rest>.+)')
_NETWORK = re.compile(r'(?:7|17)Networks_(?:LH|RH)_([A-Za-z]+)_')
_LEFT = re.compile(r'(?i)^(lh|l|left)[-_. ]|[-_. ](lh|l|left)$|[-_](lh|left)[-_]|^ctx-lh-')
_RIGHT = re.compile(r'(?i)^(rh|r|right)[-_. ]|[-_. ](rh|r|right)$|[-_](rh|right)[-_]|^ctx-rh-')

#: networks of Schaefer's and Yeo's parcellations, in their order
_NETWORK_NAMES = {
    'Vis': 'Visual',
    'SomMot': 'Somatomotor',
    'DorsAttn': 'Dorsal attention',
    'SalVentAttn': 'Ventral attention',
    'Limbic': 'Limbic',
    'Cont': 'Control',
    'Default': 'Default',
    'TempPar': 'Temporoparietal',
}


@dataclass(frozen=True)
class Parcel:
    """A parcel of an atlas.

    Attributes
    ----------
    name : str
        Name in the tables.
    short : str
        Short name for display.
    hemisphere : str
        ``L``, ``R`` or empty.
    network : str
        Network; empty if the name has none.
    """

    name: str
    short: str
    hemisphere: str
    network: str


def read_parcel(name: str) -> Parcel:
    """Parse the name of a parcel.

    >>> read_parcel('7Networks_LH_DorsAttn_Post_2')
    Parcel(name='7Networks_LH_DorsAttn_Post_2', short='DorsAttn Post 2', hemisphere='L', network='Dorsal attention')
    >>> read_parcel('ctx-rh-insula').hemisphere, read_parcel('Vermis').hemisphere
    ('R', '')
    """
    if found := _SCHAEFER.fullmatch(name):
        network = next(
            (full for key, full in _NETWORK_NAMES.items() if found['network'].startswith(key)),
            found['network'],
        )
        rest = found['rest'].replace('_', ' ')
        return Parcel(name, f'{found["network"]} {rest}', found['hemi'][0], network)
    hemisphere = 'L' if _LEFT.search(name) else 'R' if _RIGHT.search(name) else ''
    short = re.sub(r'(?i)^ctx-[lr]h-|^(lh|rh|l|r|left|right)[-_. ]|[-_. ](lh|rh|l|r|left|right)$', '', name)
    return Parcel(name, short.replace('_', ' ') or name, hemisphere, '')


def schaefer_network(name: str) -> str:
    """Return the network in the name of a parcel of Schaefer's atlas; empty for other names.

    >>> schaefer_network('17Networks_RH_DefaultA_PFCm_1'), schaefer_network('LH_Vis_1')
    ('DefaultA', '')
    """
    found = _NETWORK.match(name)
    return found[1] if found else ''


def labelled(parcel: Parcel) -> str:
    """Return the short name, followed by the hemisphere if there is one.

    >>> labelled(read_parcel('lh.insula'))
    'insula (L)'
    """
    return f'{parcel.short} ({parcel.hemisphere})' if parcel.hemisphere else parcel.short


def by_network(parcels: Sequence[Parcel]) -> np.ndarray:
    """Return the order that groups parcels by network, left before right; unchanged if no parcel has a network.

    Networks are in the order of their first parcel; parcels without network come last.

    >>> names = ['LH_Vis_1', 'LH_Default_1', 'Stem', 'RH_Vis_1']
    >>> by_network([read_parcel(name) for name in names]).tolist()
    [0, 3, 1, 2]
    """
    first = {parcel.network: i for i, parcel in reversed(list(enumerate(parcels))) if parcel.network}
    if not first:
        return np.arange(len(parcels))
    key = [(first.get(parcel.network, len(parcels)), 'LR'.find(parcel.hemisphere)) for parcel in parcels]
    return np.array(sorted(range(len(parcels)), key=lambda i: key[i]))


def runs(values: Sequence[str]) -> list[tuple[str, int, int]]:
    """Return runs of equal values: value, start, and stop (exclusive).

    >>> runs(['a', 'a', 'b'])
    [('a', 0, 2), ('b', 2, 3)]
    """
    found: list[tuple[str, int, int]] = []
    for i, value in enumerate(values):
        if found and found[-1][0] == value:
            found[-1] = (value, found[-1][1], i + 1)
        else:
            found.append((value, i, i + 1))
    return found
