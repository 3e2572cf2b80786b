"""Lacuna's results for BIDS validators: an extended BIDS schema, and ``.bidsignore``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from lacuna.bids.outputs import CONNECTOME_KEYS, Output, connectome_path, output_name, outputs
from lacuna.utils.names import parse_entities

#: BIDS puts these before the label of a mask, but names of results begin with that of the mask
_AFTER_METHOD = ('space', 'atlas', 'segmentation', 'description')

_DERIVATIVE = 'dataset.dataset_description.DatasetType == "derivative"'
_RESULT = '"method" in entities'
_IMAGE = 'match(extension, "^[.]nii([.]gz)?$")'

_HEADER = '# From here to the last line of this kind, written by Lacuna.\n'
_END = '# To here, written by Lacuna; what you add below is kept.\n'
_NOT_BIDS = """\
# Pages, figures, logs and group tables, for which BIDS has no names. Directory patterns take no trailing slash.
/assets
/logs
/sub-*.html
/sub-*/figures
/group.html
/group_*
# Each is a dataset of its own: the results with one of several tractograms.
/tractogram-*
"""
RESULTS = (
    '# Results: to check them, remove everything below, and use the schema in the documentation of Lacuna.\n'
)

#: content written by versions without these lines
_EARLIER = tuple(
    f'**/*_method-snm_*\n**/figures\n{assets}connectome\nlogs\nsub-*.html\ngroup.html\n'
    for assets in ('', 'assets\n')
)


def bidsignore(existing: str | None = None) -> str:
    """Return the text of ``.bidsignore``, which lists the results by name.

    Names of results are only in the second part, after the line `RESULTS`.

    Parameters
    ----------
    existing : str, optional
        Text of the existing file. Only lines written by Lacuna are replaced; a file without them is not changed.
    """
    # one wildcard each: validators read several differently
    names = ['*' + name.rpartition('*')[2] for output in _results() for name in _names(output, '', '*')]
    # files in an ignored folder cannot be listed themselves
    own = ''.join([_HEADER, _NOT_BIDS, RESULTS, '/connectome\n', *(f'{name}\n' for name in names), _END])
    if existing is None or existing in _EARLIER:
        return own
    before, header, rest = existing.partition(_HEADER)
    _, end, after = rest.partition(_END)
    return before + own + after if header and end else existing


def extended_schema() -> dict[str, Any]:
    """Return the BIDS schema extended by Lacuna's results for masks and tractograms.

    It defines their names, the order of their entities, the fields of their sidecars, and the columns of tables of
    parcels. Everything else is as in BIDS.

    Returns
    -------
    dict
        The content of ``schema.json`` of the package ``bidsschematools`` with additions, for the option ``--schema`` of
        the BIDS validator.
    """
    schema = json.loads(resources.files('bidsschematools').joinpath('data/schema.json').read_text('utf-8'))
    objects, rules = schema['objects'], schema['rules']
    entity_keys = {entity['name']: key for key, entity in objects['entities'].items()}
    objects['entities']['method'] = {
        'name': 'method',
        'display_name': 'Method',
        'description': 'How a derivative was computed from a mask: `snm`, structural network mapping.\n',
        'type': 'string',
        'format': 'label',
    }
    entity_keys['method'] = 'method'
    kept = [key for key in rules['entities'] if key not in (*_AFTER_METHOD, 'label')]
    rules['entities'] = [*kept, 'label', 'method', *_AFTER_METHOD]
    objects['datatypes']['connectome'] = {
        'value': 'connectome',
        'display_name': 'Connectome',
        'description': 'Files that belong to a tractogram, not to a participant.\n',
    }
    objects['suffixes'].update(
        (output.suffix, {'value': output.suffix, 'display_name': output.suffix, 'description': output.about})
        for output in _results()
        if output.suffix
    )
    objects['metadata'].update(_METADATA)
    objects['columns'].update(_COLUMNS)
    folders = rules['directories']['derivative']
    folders['connectome'] = {'name': 'connectome', 'level': 'optional', 'opaque': False}
    folders['root']['subdirs'].append('connectome')
    of_mask = rules['files']['deriv']['imaging']['anat_mask']['entities']
    rules['files']['deriv']['lacuna'] = {
        output.key: _file_rule(output, of_mask, entity_keys) for output in _results()
    }
    for key in CONNECTOME_KEYS:
        rules['files']['common']['tables'][f'lacuna_{key}'] = {
            'level': 'optional',
            'stem': connectome_path(key, '*', '*', '*').name.split('.')[0],
            'datatypes': ['connectome'],
            'extensions': _extensions(outputs()[key]),
        }
    rules['checks']['lacuna'] = {'ResultName': _name_check()}
    rules['sidecars']['lacuna'] = dict(_sidecar_rules())
    rules['tabular_data']['lacuna'] = {'ParcelStats': _PARCEL_STATS}
    # the name of a table contains that of the mask with its res-, but a table has no resolution
    rules['sidecars']['derivatives']['common_derivatives']['ImageDerivativeResEntity']['selectors'].append(
        _IMAGE
    )
    schema['meta']['associations'] |= {
        f'lacuna_{output.key}': _association(output) for output in _results() if not output.sidecar
    }
    return schema


def _results() -> Iterator[Output]:
    return (output for output in outputs().values() if output.level == 'mask')


def _extensions(output: Output) -> list[str]:
    return [output.extension, *(['.json'] if output.sidecar else [])]


def _names(output: Output, stem: str, value: str) -> list[str]:
    """Return the names of an output and of its sidecar; `value` is that of its scope."""
    name = output_name(stem, output.key, **({output.scope: value} if output.scope else {}))
    return [name.removesuffix(output.extension) + extension for extension in _extensions(output)]


def _parts(output: Output) -> tuple[dict[str, str], str]:
    """Return entities and suffix of an output as validators read its name: the last word is always the suffix."""
    entities, _, suffix = _names(output, '', 'X')[0].removesuffix(output.extension).rpartition('_')
    return parse_entities(entities), suffix


def _file_rule(output: Output, of_mask: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    entities, suffix = _parts(output)
    of_stem = {key: level for key, level in of_mask.items() if key not in ('space', 'description')}
    required = ['subject', *(keys[name] for name in entities)]
    return {
        'selectors': [_DERIVATIVE],
        'suffixes': [suffix],
        'extensions': _extensions(output),
        'datatypes': ['anat'],
        'entities': {**of_stem, **dict.fromkeys(required, 'required')},
    }


def _pattern(*kinds: Output) -> str:
    names = [name for output in kinds for name in _names(output, '', 'LABEL')]
    # no backslash, which would have to be escaped again in an expression of the schema
    either = '|'.join(names).replace('.', '[.]').replace('LABEL', '[0-9a-zA-Z+]+')
    return f'match(path, "^/sub-[^/]+/(ses-[^/]+/)?anat/sub-[^/]+({either})$")'


def _name_check() -> dict[str, Any]:
    return {
        'issue': {
            'code': 'LACUNA_RESULT_NAME',
            'message': 'Lacuna writes no result of this name.\n',
            'level': 'error',
        },
        'selectors': [_DERIVATIVE, _RESULT],
        'checks': [_pattern(*_results())],
    }


def _sidecar_rules() -> Iterator[tuple[str, dict[str, Any]]]:
    having = [output for output in _results() if output.sidecar]
    of_one = [output for output in having if not output.combined]
    of_several = [output for output in having if output.combined]
    for name, selector, fields in (
        ('Result', _RESULT, (*_COMMON, 'LacunaMask')),
        ('Map', _pattern(outputs()['disconnection_map']), ('LacunaSupport',)),
        ('ResultWithOne', _pattern(*of_one), ('LacunaTractogram',)),
        ('ResultOverSeveral', _pattern(*of_several), ('LacunaTractograms', 'LacunaSourceSHA256')),
        ('ResultOnGrid', _pattern(*(each for each in having if each.scope == 'space')), ('Resolution',)),
        ('Ratio', _pattern(*(each for each in of_one if each.scope == 'space')), ('LacunaDenominator',)),
        ('ResultOfAtlas', _pattern(*(each for each in having if each.scope == 'atlas')), ('LacunaAtlas',)),
        ('ResultWithUnits', _pattern(*(each for each in having if each.units)), ('Units',)),
        ('Connectome', 'datatype == "connectome"', (*_COMMON, 'LacunaTractogram', 'Resolution')),
        ('Density', 'match(path, "^/connectome/.*_tdi[.]nii[.]gz$")', ('Units',)),
    ):
        yield name, {'selectors': [_DERIVATIVE, selector], 'fields': dict.fromkeys(fields, 'required')}


#: fields in the sidecars of all results
_COMMON = (
    *('Description', 'Sources', 'LacunaSpace', 'SpatialReference', 'LacunaParameters'),
    *('SoftwareVersions', 'LacunaCommandLine', 'LacunaFiles'),
)


def _association(output: Output) -> dict[str, Any]:
    """Return the rule that associates a JSON file that is not a sidecar with the output whose sidecar records it."""
    holder = outputs()[output.recorded_with]
    entities, suffix = _parts(holder)
    own, own_suffix = _parts(output)
    return {
        'selectors': [
            f'suffix == "{suffix}"',
            f'extension == "{holder.extension}"',
            *(f'entities.{name} == "{value}"' for name, value in entities.items() if value != 'X'),
            *(['type(entities.seg) == "null"'] if 'seg' not in entities else []),
        ],
        'target': {
            'suffix': own_suffix,
            'extension': output.extension,
            'entities': [name for name, value in own.items() if entities.get(name) != value],
        },
        'inherit': True,
    }


def _field(name: str, about: str, **schema: Any) -> dict[str, Any]:
    return {'name': name, 'display_name': name, 'description': f'{about}\n', **schema}


def _table(**fields: Mapping[str, Any]) -> dict[str, Any]:
    return {'type': 'object', 'properties': fields, 'required': list(fields)}


_TEXT = {'type': 'string', 'minLength': 1}
_SHA256 = {'type': 'string', 'pattern': '^[0-9a-f]{64}$'}
_COUNT = {'type': 'integer', 'minimum': 0}
_TRACTOGRAM = _table(Name=_TEXT, Space=_TEXT, SHA256=_SHA256, StreamlineCount=_COUNT)

#: sidecar fields that BIDS does not define, or defines differently
_METADATA = {
    'LacunaSpace': _field('Space', 'The space of the coordinates.', **_TEXT),
    'LacunaTractogram': _field(
        'Tractogram',
        'The normative tractogram: its name, space, checksum of the file, and number of streamlines.',
        **_TRACTOGRAM,
    ),
    'LacunaTractograms': _field(
        'Tractograms',
        'The tractograms over which a result was combined.',
        type='array',
        items=_TRACTOGRAM,
        minItems=1,
    ),
    'LacunaSourceSHA256': _field(
        'SourceSHA256',
        'Checksum of each result that was combined, by its BIDS URI.',
        type='object',
        additionalProperties=_SHA256,
        minProperties=1,
    ),
    'LacunaMask': _field(
        'Mask',
        'The lesion: checksum of its voxels and affine, and its space.',
        **_table(SHA256=_SHA256, Space=_TEXT),
    ),
    'LacunaAtlas': _field(
        'Atlas', 'What the rows are: name and checksum.', **_table(Name=_TEXT, SHA256=_SHA256)
    ),
    'LacunaParameters': _field('Parameters', 'Settings on which the numbers depend.', type='object'),
    'LacunaCommandLine': _field('CommandLine', 'The command that reproduces the numbers.', **_TEXT),
    'LacunaDenominator': _field(
        'Denominator', 'BIDS URI of the density of the whole tractogram.', type='string', format='bids_uri'
    ),
    'LacunaSupport': _field(
        'Support', 'BIDS URI of the voxels with enough streamlines.', type='string', format='bids_uri'
    ),
    'LacunaFiles': _field(
        'Files',
        'Size and checksum of each file that belongs to this sidecar, by name.',
        type='object',
        additionalProperties=_table(Size=_COUNT, SHA256=_SHA256),
        minProperties=1,
    ),
    # a string in BIDS, for the software of a scanner
    'SoftwareVersions': _field(
        'SoftwareVersions',
        'Versions of the software of the scanner; or for results, of each program, by name.',
        anyOf=[{'type': 'string'}, {'type': 'object', 'additionalProperties': {'type': 'string'}}],
    ),
}

_COLUMNS = {
    'region': {
        'name': 'region',
        'display_name': 'Region',
        'description': 'Name of the parcel in the label table of the atlas.\n',
        'type': 'string',
    },
    'value__lacuna': {
        'name': 'value',
        'display_name': 'Value',
        'description': 'The value of the parcel; the units are those of the sidecar.\n',
        'type': 'number',
    },
}

_PARCEL_STATS = {
    'selectors': [_DERIVATIVE, _RESULT, 'suffix == "parcelstats"', 'extension == ".tsv"'],
    'initial_columns': ['region', 'value__lacuna'],
    'columns': {'region': 'required', 'value__lacuna': 'required'},
    'additional_columns': 'not_allowed',
}
