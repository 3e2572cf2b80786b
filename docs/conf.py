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
    'nipype.sphinxext.apidoc',
    'sphinxcontrib.bibtex',
    'commandline',
    'docstrings',
    'formulas',
    'outputs',
    'schema',
]
exclude_patterns = ['_build']
bibtex_bibfiles = ['../lacuna/data/boilerplate.bib']
nitpicky = True
nitpick_ignore_regex = [
    (
        'py:class',
        r'(collections|nipype|niworkflows|numpy|pathlib)\..*',
    ),  # their pages are not asked over the network
    (
        'py:class',
        r'PointTransform|Selection|Targets|Workflow|Path|(nb|np|pd)\..*',
    ),  # imported for the type checker only, or shortened
    ('py:obj', r'[a-z0-9_]+'),  # a parameter
]

autodoc_default_options = {'members': True, 'member-order': 'bysource'}
autodoc_typehints_format = 'short'
python_maximum_signature_line_length = 100
default_role = 'py:obj'
napoleon_use_param = napoleon_use_rtype = napoleon_use_ivar = False
napoleon_custom_sections = [
    (section, 'Parameters')
    for section in ('Attributes', 'Inputs', 'Outputs', 'Mandatory Inputs', 'Optional Inputs')
]

html_math_renderer = 'svg'
html_theme = 'furo'
html_title = f'Lacuna {release}'
html_show_sphinx = False
html_copy_source = False
html_theme_options = {'top_of_page_buttons': []}

myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 3
