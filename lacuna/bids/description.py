"""The files of a derivative dataset's root: ``dataset_description.json``, ``README`` and ``.bidsignore``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lacuna.bids.origins import is_lesions_link
from lacuna.bids.schema import bidsignore
from lacuna.errors import InputError
from lacuna.utils.files import data_text, json_bytes, listed, read_json, write_if_changed

BIDS_VERSION = '1.10.0'


def write_dataset(
    root: Path,
    links: Mapping[str, str],
    generated: Sequence[Mapping[str, Any]],
    readme: str = 'results.txt',
) -> None:
    """Write the description, the ``README`` and ``.bidsignore`` of a derivative dataset.

    Fields that users added to the description, an existing ``README``, and users' lines in ``.bidsignore`` are kept.

    Parameters
    ----------
    root : pathlib.Path
    links : mapping
        Source folders as URIs, by the names used in sidecars.
    generated : sequence of mapping
        Programs that generated the results, with ``Name``.
    readme : str
        Name of the data file with the text of the ``README``.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    earlier = read_json(root / 'dataset_description.json') or {}
    own = {tool['Name'] for tool in generated}
    description = {
        'Name': 'Lacuna: structural lesion network mapping',
        **earlier,  # keep fields that users added
        'BIDSVersion': BIDS_VERSION,
        'DatasetType': 'derivative',
        'GeneratedBy': [
            *generated,
            *(
                tool
                for tool in listed(earlier, 'GeneratedBy')
                if isinstance(tool, dict) and tool.get('Name') not in own
            ),
        ],
        'SourceDatasets': [{'URL': uri} for name, uri in links.items() if is_lesions_link(name)],
        'DatasetLinks': dict(links),
    }
    try:
        write_if_changed(root / 'dataset_description.json', json_bytes(description))
        if not any(root.glob('README*')):
            write_if_changed(root / 'README', data_text(readme).encode())
        ignore = root / '.bidsignore'
        existing = ignore.read_bytes().decode(errors='surrogateescape') if ignore.exists() else None
        write_if_changed(ignore, bidsignore(existing).encode(errors='surrogateescape'))
    except (OSError, ValueError) as error:  # ValueError: links that are not valid JSON, such as NaN
        message = f'the output folder {root} cannot be written: {getattr(error, "strerror", None) or error}'
        raise InputError(message) from error
