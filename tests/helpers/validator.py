"""What the BIDS validator says of a dataset."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.waiting import HANGS
from lacuna.bids.schema import RESULTS, extended_schema

VALIDATOR = Path(sys.executable).with_name('bids-validator-deno')


def errors(dataset: Path, *options: str | Path) -> dict[str, set[str]]:
    """The codes of the errors of a dataset, for each file."""
    if not VALIDATOR.exists():
        pytest.skip('bids-validator-deno is not installed beside Python')
    command = [VALIDATOR, dataset, '--format', 'json', '--ignoreWarnings', *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=HANGS)
    found: dict[str, set[str]] = {}
    for issue in json.loads(done.stdout)['issues']['issues']:
        found.setdefault(issue.get('location', '').removeprefix('/'), set()).add(issue['code'])
    assert (done.returncode != 0) == bool(found), done.stderr
    return found


def errors_of_results(dataset: Path, folder: Path) -> dict[str, set[str]]:
    """The same of the results of Lacuna, none of which is ignored, by the schema that knows them; a new folder is needed."""
    folder.mkdir()
    for path in dataset.iterdir():
        if path.name[0] != '.':
            (folder / path.name).symlink_to(path)
    pages, results, _ = (dataset / '.bidsignore').read_text().partition(RESULTS)
    assert results
    (folder / '.bidsignore').write_text(pages)
    schema = folder.with_name(f'{folder.name}-schema.json')
    schema.write_text(json.dumps(extended_schema()))
    return errors(folder, '--schema', schema.as_uri())
