"""How Sphinx builds these pages: offline, every warning an error (``make docs``)."""

import os
import sys
from functools import partialmethod
from pathlib import Path

from nbclient import NotebookClient

import lacuna

sys.path.insert(0, str(Path(__file__).parent / '_ext'))

project = 'Lacuna'
author = 'The Lacuna developers'
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = lacuna.__version__

extensions = [
    'myst_nb',
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
html_static_path = ['_static']
html_css_files = ['notebook.css']
html_theme_options = {'top_of_page_buttons': []}

myst_enable_extensions = ['colon_fence', 'deflist', 'dollarmath']
myst_heading_anchors = 3

# the notebooks are run here, each in an empty folder; one that has not changed is run once only
nb_execution_mode = 'cache'
nb_execution_in_temp = True
nb_execution_raise_on_error = nb_execution_show_tb = True
nb_execution_timeout = 300
nb_number_source_lines = False
# IPython hands on what a command prints in pieces of 100 bytes, each an output of its own
NotebookClient.__init__ = partialmethod(NotebookClient.__init__, coalesce_streams=True)
os.environ['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
