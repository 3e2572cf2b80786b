"""The documentation as Sphinx builds it: no warning, nothing left out, nothing from the network."""

import html
import importlib.util
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from ctypes.util import find_library
from importlib import resources

import pytest
from helpers.commandline import commands
from helpers.paths import ROOT

import lacuna.interfaces
import lacuna.workflows
from lacuna.cli import bidsapp, parser


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    """The folder of the pages; any warning is an error, and so is a cell of a notebook that fails."""
    pytest.importorskip('myst_nb', reason='the packages of the documentation are not installed')
    folder = tmp_path_factory.mktemp('docs')
    build = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '--quiet', '-d', folder / 'doctrees']
    environment = {name: value for name, value in os.environ.items() if name != 'MPLBACKEND'}
    # as somebody who has just installed Lacuna, and no MRtrix3
    (folder / 'bin').mkdir()
    (folder / 'bin/bash').symlink_to(shutil.which('bash'))
    environment |= {
        'LACUNA_CACHE_DIR': str(folder / 'cache'),
        'TEMPLATEFLOW_HOME': str(folder / 'templateflow'),
        'PATH': str(folder / 'bin'),
    }
    done = subprocess.run(
        [*build, ROOT / 'docs', folder / 'html'],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return folder / 'html'


@pytest.fixture
def notebook(site):
    """A notebook as it was run for the pages, by the name of its page."""

    def load(name: str):
        import nbformat

        return nbformat.read(site.parent / f'jupyter_execute/tutorials/{name}.ipynb', as_version=4)

    return load


def text(markup):
    """What a reader sees, with plain quotes."""
    plain = str.maketrans({'\u2019': "'", '\u201c': '"', '\u201d': '"'})
    return html.unescape(re.sub('<[^>]*>', '', markup)).translate(plain)


def test_every_output_is_in_the_table(site):
    rows = [text(row) for row in (site / 'outputs.html').read_text().split('<tr')]
    for key, output in json.loads(
        resources.files('lacuna').joinpath('data/outputs.json').read_text()
    ).items():
        parts = [f'desc-{output["desc"]}' if output['desc'] else None, output['suffix']]
        if output['level'] == 'connectome':
            name = '_'.join(filter(None, ['connectome/tractogram-<name>_space-<space>_res-<mm>', *parts]))
        else:
            scope = [f'{output["scope"]}-<{output["scope"]}>'] if output['scope'] else []
            scope += [f'seg-{output["seg"]}'] if 'seg' in output else []
            stem = 'group_<entities>' if output['level'] == 'group' else '<mask>'
            parts[1:1] = ['stat-<stat>'] if output['suffix'] == 'statmap' else []
            name = '_'.join(filter(None, [f'{stem}_method-snm', *scope, *parts]))
        (row,) = (row for row in rows if f'{key}: {output["about"]}' in row)
        assert name + output['extension'] in row
        assert ('.json)' in row) == output['sidecar']


@pytest.mark.parametrize('build_parser', [parser.build_parser, bidsapp.build_parser])
def test_every_option_is_explained(site, build_parser):
    sections = (site / 'cli.html').read_text().split('<section id="')
    for command in commands(build_parser()):
        (section,) = (part for part in sections if part.startswith(f'{command.prog.replace(" ", "-")}"'))
        explained = text(re.sub('(?s)<pre>.*?</pre>', '', section))  # the usage line alone explains nothing
        assert command.description in explained
        for action in command._actions:
            if '--help' not in action.option_strings:
                for word in action.option_strings:
                    assert re.search(rf'(?m)(^|, ){re.escape(word)}\b', explained), (command.prog, word)


def test_every_workflow_and_node_is_in_the_reference(site):
    pages = ''.join(path.read_text() for path in (site / 'api').glob('*.html'))
    names = []
    for package in (lacuna.workflows, lacuna.interfaces):
        for found in pkgutil.iter_modules(package.__path__, f'{package.__name__}.'):
            module = importlib.import_module(found.name)
            names += [
                f'{found.name}.{name}'
                for name, value in vars(module).items()
                if getattr(value, '__module__', '') == found.name
                and (name.startswith('init_') or (hasattr(value, 'input_spec') and name[0] != '_'))
            ]
    assert len(names) > 25
    assert [name for name in names if f'id="{name}"' not in pages] == []
    # the fields of builders and nodes
    workflow = pages.split('id="lacuna.workflows.snm.init_snm_wf"')[1].split('<dt class="sig')[0]
    assert re.search(r'full_tdi \u2013 \w+', text(workflow))
    node = pages.split('id="lacuna.interfaces.index.QueryIndex"')[1].split('<dt class="sig')[0]
    assert re.search(r'in_mask \(.*\) \u2013 Lesion mask', text(node))


def test_formulas_are_drawn(site):
    written = len(re.findall(r'(?s)\$\$.+?\$\$|\$.+?\$', (ROOT / 'docs/method.md').read_text()))
    page = (site / 'method.html').read_text()
    assert written > 20
    assert page.count('<svg role="img"') == written


def test_pages_need_no_network(site):
    remote = r'<(?:script|link|img|iframe|source|object)\b[^>]*\b(?:src|href|data)="(?:https?:)?//[^"]*'
    for path in site.rglob('*.html'):
        assert re.findall(remote, path.read_text()) == [], path.name
    for path in site.rglob('*.css'):
        assert re.findall(r'(?:url\(\s*|@import\s+)["\']?(?:https?:)?//[^)]*', path.read_text()) == [], (
            path.name
        )


def test_search_finds_pages_without_a_server(site, browser):
    page = browser.new_page()
    page.goto(f'{(site / "search.html").as_uri()}?q=tractotron')
    page.locator('#search-results li').first.wait_for()
    found = page.locator('#search-results li a').evaluate_all('links => links.map(link => link.href)')
    page.close()
    assert any('howto/from-other-tools.html' in link for link in found)


def test_the_notebook_of_one_lesion(notebook):
    import notebooks

    shown = notebooks.text(notebook('one-lesion'))
    assert "'streamlines_disconnected': 2514" in shown
    assert re.search(r'LH_SomMot_2 +31.8 +25.7', shown)
    assert re.search(r'LH_SomMot_3 +75.4\n', shown)
    assert len(notebooks.pictures(notebook('one-lesion'))) == 3


def test_the_notebook_of_a_cohort_finds_the_tract_behind_the_score(notebook):
    import notebooks

    shown = notebooks.text(notebook('cohort'))
    assert '40 masks done (40 now)' in shown
    assert '39 participants (1 left out)' in shown
    found = re.findall(r'^(\w+) +(-?\d+\.\d+) +(0\.\d+) +\d+$', shown, re.MULTILINE)
    assert [name for name, _, p in found if float(p) <= 0.05] == [
        'CorticospinalTract_L',
        'SuperiorThalamicRadiation_L',
        'Parietopontine_L',
        'ShortFibres_R',
    ]
    assert float(shown.split()[-1]) > 0.5  # of the score that is noise
    assert len(notebooks.pictures(notebook('cohort'))) == 2


def test_the_notebook_of_the_classes(notebook):
    import notebooks

    shown = notebooks.text(notebook('notebook'))
    assert '<Tractogram synthetic20k: 20000 streamlines in MNI152NLin6Asym>' in shown
    assert '22453 voxels of 2 mm are affected\n10251 lose more than half' in shown
    assert re.search(r'SuperiorThalamicRadiation_L +98.9 +97.4 +99.5 +440', shown)
    assert re.search(r'\(2915, 2514\)', shown)
    assert [row.split()[-1] for row in shown.splitlines()[-3:]] == ['2514', '824', '893']
    assert len(notebooks.pictures(notebook('notebook'))) == 3


def test_the_notebook_of_embedding_gives_the_same_numbers(notebook):
    import notebooks

    shown = notebooks.text(notebook('embedding'))
    assert shown.startswith('[]\n')  # what audit_graph finds
    assert shown.endswith('(True, True)')
    for name in ('map/disconnection.nii.gz', 'matrix/disconnection_matrix.tsv', 'sub-02.html'):
        assert f'mine/{name}' in shown
    assert len(notebooks.pictures(notebook('embedding'))) == 1


@pytest.mark.slow
def test_the_cell_of_yabplot_runs_where_it_is_installed(notebook, tmp_path):
    """The only cell that building the pages leaves out."""
    left_out = [
        (name, cell.source)
        for name in ('one-lesion', 'cohort', 'notebook', 'embedding')
        for cell in notebook(name).cells
        if 'skip-execution' in cell.metadata.get('tags', [])
    ]
    ((page, source),) = left_out
    assert source.startswith('import yabplot')
    if importlib.util.find_spec('yabplot') is None or find_library('EGL') is None:
        pytest.skip('yabplot, or a library with which it draws without a screen, is not installed')
    import notebooks

    done = notebooks.run(ROOT / f'docs/tutorials/{page}.md', tmp_path, whole=True)
    assert len(notebooks.pictures(done)) == 4


@pytest.mark.parametrize('name', ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'])
def test_links_lead_somewhere(name):
    for target in re.findall(r'\]\(([^)#]+)', (ROOT / name).read_text()):
        assert target.startswith('http') or (ROOT / target).exists(), target


def test_the_architecture_shows_the_rooms_as_they_are():
    """Each room has a row, and each module that the page names exists."""
    page = (ROOT / 'docs/architecture.md').read_text()
    package = ROOT / 'lacuna'
    rows = re.findall(r'^\| `([a-z_/]+)` \| [A-Z][^|]+\| ([^|]+)\|$', page, flags=re.MULTILINE)
    rooms = {path.parent.relative_to(package).as_posix() for path in package.rglob('__init__.py')}
    assert {room for room, _ in rows} == rooms - {'.'}
    named = {f'{room}/{module}' for room, modules in rows for module in re.findall('`([a-z_]+)`', modules)}
    named |= {name for name in re.findall('`([a-z_]+/[a-z_/]+)`', page) if name.split('/')[0] in rooms}
    assert len(named) > 60
    assert [
        name for name in sorted(named) if not (package / f'{name}.py').is_file() and name not in rooms
    ] == []
