"""The BIDS schema extended by the results of Lacuna, as a file of the site."""

import json
from pathlib import Path

from lacuna.bids.schema import extended_schema


def setup(app):
    """Write the file when the pages are written."""
    app.connect('build-finished', write)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}


def write(app, exception):
    """Beside the pages; compact, as BIDS publishes its own."""
    if exception is None and app.builder.format == 'html':
        Path(app.outdir, 'lacuna-bids-schema.json').write_text(
            json.dumps(extended_schema(), separators=(',', ':'))
        )
