"""How Sphinx builds these pages: offline, every warning an error (``make docs``)."""

import sys
from pathlib import Path

import lacuna

sys.path.insert(0, str(Path(__file__).parent / '_ext'))

project = 'Lacuna'
author = 'The Lacuna developers'
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = lacuna.__version__

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.viewcode',
]
exclude_patterns = ['_build']
nitpicky = True

html_theme = 'furo'
html_title = f'Lacuna {release}'
html_show_sphinx = False
html_copy_source = False
html_theme_options = {'top_of_page_buttons': []}

myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 3
