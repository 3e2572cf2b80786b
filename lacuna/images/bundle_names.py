"""Parse the names of bundles: side, system, and a short name for display; nothing is guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: the systems, in display order
SYSTEMS = ('association', 'projection', 'commissural', 'cerebellum', 'brainstem', 'cranial nerve', 'other')

#: prefixes of names in DSI Studio's atlases
_LEADING = re.compile(r'(?i)^(association|projection|commissur|cerebell|brainstem|cranial_?nerve)[a-z]*[_-]')
#: words that occur in names of one system only
_WORDS = {
    'association': 'arcuate|longitudinal|uncinate|cingulum|aslant|frontooccipital|verticaloccipital|extremecapsule',
    'projection': 'corticospinal|corticobulbar|corticostriatal|thalamicradiation|opticradiation|acousticradiation|pontine|'
    'fornix|medullothalamic|coronaradiata',
    'commissural': 'callosum|commissure|forceps',
    'cerebellum': 'cerebellarpeduncle|cerebell|vermis',
    'brainstem': 'lemniscus|tegmental|rubrospinal|medialforebrain',
    'cranial nerve': 'nerve',
}
#: common abbreviations that are whole names
_SHORT = {
    'association': 'AF EMC FAT IFOF ILF MdLF SLF SLF1 SLF2 SLF3 UF VOF',
    'projection': 'AR ATR CST CS CT FPT OPT OR PPT PTR STR TPT',
    'commissural': 'AC CC PC',
    'cerebellum': 'ICP MCP SCP',
    'brainstem': 'CTT DLF LL ML MLF RST STT',
    'cranial nerve': 'CNII CNIII CNIV CNV CNVI CNVII CNVIII CNIX CNX CNXI CNXII',
}
_BY_ABBREVIATION = {short: system for system, words in _SHORT.items() for short in words.split()}
_SIDE = re.compile(
    r'(?:^|[-_. ])(?P<word>(?i:lh|rh|left|right|l|r))(?=$|[-_. ])|(?:(?<=[a-z])|(?<=[IVX]{2}))(?P<letter>[LR])(?=$|[-_. ])'
)


@dataclass(frozen=True)
class Bundle:
    """A bundle of streamlines.

    Attributes
    ----------
    name : str
        Name in the tables.
    short : str
        Short name for display, without the side.
    side : str
        ``L``, ``R`` or empty.
    system : str
        One of `SYSTEMS`.
    """

    name: str
    short: str
    side: str
    system: str


def read_bundle(name: str) -> Bundle:
    """Parse the name of a bundle.

    >>> read_bundle('Association_ArcuateFasciculusL')
    Bundle(name='Association_ArcuateFasciculusL', short='Arcuate Fasciculus', side='L', system='association')
    >>> read_bundle('CST_R').system, read_bundle('CC_Genu').side, read_bundle('Lorem').system
    ('projection', '', 'other')
    """
    found = _SIDE.search(name)
    side = (found['word'] or found['letter'])[0].upper() if found else ''
    base = name[: found.start()] + name[found.end() :] if found else name
    base = base.strip('-_. ')
    leading = _LEADING.match(base)
    short = base[leading.end() :] if leading else base
    short = re.sub('(?<=[a-z])(?=[A-Z][a-z])', ' ', short.replace('_', ' ').strip())
    return Bundle(name, short or name, side, _system(base, leading))


def _system(base: str, leading: re.Match[str] | None) -> str:
    if leading:
        word = leading[1].lower().replace('_', '')
        return next(each for each in SYSTEMS if each.replace(' ', '').startswith(word))
    first = re.split('[-_. ]', base)[0]
    if system := _BY_ABBREVIATION.get(base) or ('commissural' if first == 'CC' else ''):
        return system
    plain = re.sub('[^a-z]', '', base.lower())
    return next((system for system, words in _WORDS.items() if re.search(words, plain)), 'other')
