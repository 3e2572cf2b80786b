"""Names and sidecars of results, as the BIDS validator sees them."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
from helpers.validator import errors, errors_of_results

from lacuna.bids.outputs import outputs, parse_output_name
from lacuna.bids.schema import RESULTS, bidsignore, extended_schema
from lacuna.cli import main
from lacuna.images.spaces import standard_grid
from lacuna.testing import world_coordinates, write_mask, write_toy
from lacuna.utils.names import sidecar_path

ANAT = Path('sub-01/ses-1/anat')
STEM = 'sub-01_ses-1_run-2_label-lesion'
MAP = ANAT / f'{STEM}_method-snm_space-MNI152NLin6Asym_desc-disconnectionpct.nii.gz'
MATRIX = ANAT / f'{STEM}_method-snm_atlas-halves_desc-disconnectionpct_connmatrix.tsv'
REGIONS = ANAT / f'{STEM}_method-snm_atlas-halves_desc-disconnectionpct_parcelstats.tsv'
SUMMARY = ANAT / f'{STEM}_method-snm_desc-summarystatistics_stats.json'
TDI = Path('connectome/tractogram-toy_space-MNI152NLin6Asym_res-2_tdi.nii.gz')


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    """All results of two lesions of a session."""
    folder = tmp_path_factory.mktemp('results')
    toy = write_toy(folder)
    lesions = folder / 'bids' / ANAT
    lesions.mkdir(parents=True)
    toy.mask.rename(lesions / 'sub-01_ses-1_run-2_space-MNI152NLin6Asym_label-lesion_mask.nii.gz')
    grid = standard_grid('MNI152NLin6Asym', 2)
    x, y, z = world_coordinates(grid.shape, grid.affine)
    other = 'sub-01_ses-1_run-2_space-MNI152NLin6Asym_res-1_label-edema_desc-x_mask.nii.gz'
    write_mask(lesions / other, (abs(x) < 9) & (abs(y) < 9) & (z > 0) & (z < 9), grid.affine)
    image = write_mask(folder / 'halves.nii.gz', 1 + (x > 0) + 0 * (y + z), grid.affine)
    labels = folder / 'halves.tsv'
    labels.write_text('index\tname\tnetwork\n1\tleft\tone\n2\tright\tother\n')
    toy.tracks.with_name('toy_bundles.tsv').write_text('bundle\tfirst\tcount\nall\t0\t30\n')
    words = ['run', 'snm', folder / 'bids', folder / 'out', '--connectome-path', toy.tracks, '--nprocs', '1']
    words += ['--custom-parcellation', 'halves', image, labels, 'MNI152NLin6Asym', '--null-lesions', '20']
    words += ['--compute-roi-disconnection', '--compute-disconnectivity-matrix', '--compute-networks']
    words += ['--compute-higher-order', '--compute-mean-lengths', '--lesion-load', '--no-report']
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('LACUNA_CACHE_DIR', str(folder / 'cache'))
        assert main([str(word) for word in words]) == 0
    return folder / 'out'


def test_results_are_valid_and_none_is_ignored(results, tmp_path):
    made = {parse_output_name(path.name)[1] for path in (results / ANAT).iterdir() if path.suffix != '.json'}
    mine = {
        key: output for key, output in outputs().items() if output.level == 'mask' and not output.combined
    }
    with_sidecar = {key for key, output in mine.items() if output.sidecar}
    assert made == with_sidecar - {'lesion_probability'}  # of an atlas of probabilities
    for path in (MAP, MATRIX, REGIONS, SUMMARY, TDI):
        assert (results / path).is_file()
    assert errors_of_results(results, tmp_path / 'view') == {}


def test_what_is_over_several_tractograms_is_valid(results, tmp_path, monkeypatch):
    """With the results with each of them below it, which are a dataset each."""
    monkeypatch.setenv('LACUNA_CACHE_DIR', str(results.parent / 'cache'))
    for suffix in ('.tck', '.json'):
        shutil.copyfile(results.parent / f'toy{suffix}', tmp_path / f'other{suffix}')
    (tmp_path / 'other_bundles.tsv').write_text('bundle\tfirst\tcount\nsome\t0\t3\n')
    out = tmp_path / 'out'
    words = ['run', 'snm', results.parent / 'bids', out, '--nprocs', '1', '--no-report']
    words += ['--connectome-path', tmp_path / 'other.tck', '--connectome-path', results.parent / 'toy.tck']
    halves = [results.parent / f'halves.{end}' for end in ('nii.gz', 'tsv')]
    words += ['--custom-parcellation', 'halves', *halves, 'MNI152NLin6Asym', '--compute-roi-disconnection']
    assert main([str(word) for word in words]) == 0
    made = {
        parse_output_name(path.name)[1]
        for path in (out / ANAT).iterdir()
        if 'tsv' in path.name or 'nii' in path.name
    }
    assert made == {key for key, output in outputs().items() if output.combined and output.sidecar}
    assert errors(out) == {}
    assert errors_of_results(out, tmp_path / 'view') == {}
    assert errors_of_results(out / 'tractogram-toy', tmp_path / 'view of one') == {}


def test_who_does_not_know_the_schema_sees_valid_bids(results, tmp_path):
    """With ``.bidsignore`` as it is; it hides results by their names, not everything in their folders."""
    assert errors(results) == {}
    shutil.copytree(results, tmp_path / 'copy')
    stray = {'sub-01_ses-1_label-lesion_method-snm_desc-mine_stats.tsv', 'notes.txt'}
    for name in stray:
        (tmp_path / 'copy' / ANAT / name).write_text('mine')
    assert set(errors(tmp_path / 'copy')) == {str(ANAT / name) for name in stray}


NAMES = {
    # what is wrong -> a name that is right, and one that differs in this only
    'desc': (MATRIX, 'STEM_method-snm_atlas-halves_desc-disconectionpct_connmatrix.tsv'),
    'suffix': (MATRIX, 'STEM_method-snm_atlas-halves_desc-disconnectionpct_conmatrix.tsv'),
    'method': (MATRIX, 'STEM_method-sdc_atlas-halves_desc-disconnectionpct_connmatrix.tsv'),
    'no method': (MATRIX, 'STEM_atlas-halves_desc-disconnectionpct_connmatrix.tsv'),
    'no atlas': (MATRIX, 'STEM_method-snm_desc-disconnectionpct_connmatrix.tsv'),
    'unknown entity': (MATRIX, 'STEM_method-snm_atlas-halves_mine-1_desc-disconnectionpct_connmatrix.tsv'),
    'label before method': (
        MATRIX,
        'sub-01_ses-1_method-snm_label-x_atlas-halves_desc-disconnectionpct_connmatrix.tsv',
    ),
    'label before space': (
        MAP,
        'sub-01_ses-1_space-MNI152NLin6Asym_label-x_method-snm_desc-disconnectionpct.nii.gz',
    ),
    'extension': (MATRIX, MATRIX.name.replace('.tsv', '.csv')),
    'folder': (MAP, f'sub-01/ses-1/dwi/{MAP.name}'),
    'session': (MAP, f'sub-01/anat/{MAP.name}'),
    'no resolution': (TDI, TDI.name.replace('_res-2', '')),
    'tractogram of a participant': (TDI, f'{ANAT}/{TDI.name}'),
}


def test_a_wrong_name_is_an_error(results, tmp_path):
    """The validator looks at all of them at once: files of wrong names have errors, and no others."""
    out = tmp_path / 'out'
    shutil.copytree(results, out)
    wrong = {}
    for what, (right, name) in NAMES.items():
        wrong[what] = name if '/' in name else f'{right.parent}/{name.replace("STEM", STEM)}'
        target = out / wrong[what]
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(out / right, target)
        if sidecar_path(target) != sidecar_path(out / right):
            shutil.copyfile(sidecar_path(out / right), sidecar_path(target))
    found = errors_of_results(out, tmp_path / 'view')
    assert {what for what, name in wrong.items() if name not in found} == set()
    assert set(found) <= {*wrong.values(), *(str(sidecar_path(Path(name))) for name in wrong.values())}
    assert 'FILENAME_MISMATCH' in found[wrong['label before space']] & found[wrong['label before method']]
    assert found[wrong['desc']] == {'LACUNA_RESULT_NAME'}
    assert found[wrong['suffix']] == {'NOT_INCLUDED'}


SIDECARS = {
    # what is wrong -> the file, what happens to its sidecar, and the errors
    'no field': (MAP, lambda about: about.pop('Denominator'), {'SIDECAR_KEY_REQUIRED'}),
    'no atlas': (MATRIX, lambda about: about.pop('Atlas'), {'SIDECAR_KEY_REQUIRED'}),
    'no checksum': (
        REGIONS,
        lambda about: about['Tractogram'].pop('SHA256'),
        {'JSON_SCHEMA_VALIDATION_ERROR'},
    ),
    'no units': (TDI, lambda about: about.pop('Units'), {'SIDECAR_KEY_REQUIRED'}),
}


def test_a_wrong_sidecar_is_an_error(results, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(results, out)
    expected = {}
    for path, change, codes in SIDECARS.values():
        about = json.loads(sidecar_path(out / path).read_text())
        change(about)
        sidecar_path(out / path).write_text(json.dumps(about))
        expected[str(sidecar_path(path) if 'JSON_SCHEMA_VALIDATION_ERROR' in codes else path)] = codes
    edema = {path.name.partition('_method-snm_')[2]: path for path in (out / ANAT).glob('*edema*')}
    expect = {
        # no sidecar; statistics of matrices that are not there; a table with a column more
        'atlas-halves_desc-maskconnectivitymatrix_connmatrix.tsv': {'SIDECAR_KEY_REQUIRED'},
        'atlas-halves_desc-matrixstatistics_stats.json': {'SIDECAR_WITHOUT_DATAFILE'},
        'atlas-halves_desc-higherorder_stats.json': {'SIDECAR_WITHOUT_DATAFILE'},
        'atlas-halves_desc-disconnectionpct_parcelstats.tsv': {'TSV_ADDITIONAL_COLUMNS_NOT_ALLOWED'},
    }
    edema['atlas-halves_desc-maskconnectivitymatrix_connmatrix.json'].unlink()
    for desc in ('disconnectionpct', 'deltasspl'):
        for end in ('.tsv', '.json'):
            edema[f'atlas-halves_desc-{desc}_connmatrix{end}'].unlink()
    edema['atlas-halves_desc-disconnectionpct_parcelstats.tsv'].write_text('region\tvalue\tmine\na\tn/a\t2\n')
    expected |= {str(edema[name].relative_to(out)): codes for name, codes in expect.items()}
    assert errors_of_results(out, tmp_path / 'view') == expected


def test_a_stray_file_is_an_error(results, tmp_path):
    out = tmp_path / 'out'
    shutil.copytree(results, out)
    stray = {'notes.txt', f'{ANAT}/notes.tsv', 'connectome/notes.txt', 'mine/notes.txt', 'sub-02/notes.txt'}
    for name in stray:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text('a\tb\n1\t2\n')
    found = errors_of_results(out, tmp_path / 'view')
    assert {name for name, codes in found.items() if 'NOT_INCLUDED' in codes} == {*stray, 'mine/'}


def test_every_output_of_a_mask_has_a_rule_and_a_line():
    """Also those that no option of a run asks for yet."""
    files = extended_schema()['rules']['files']
    rules = files['deriv']['lacuna']
    lines = bidsignore().splitlines()
    for key, output in outputs().items():
        if output.level == 'mask':
            name = f'desc-{output.desc}' if output.suffix is None else output.suffix
            assert rules[key]['suffixes'] == [name]
            assert rules[key]['entities']['method'] == 'required'
            assert output.scope is None or rules[key]['entities'][output.scope] == 'required'
            ends = [output.extension, *(['.json'] if output.sidecar else [])]
            assert {end for end in ends if not any(line.endswith(name + end) for line in lines)} == set()
    assert files['common']['tables']['lacuna_full_tdi']['stem'] == 'tractogram-*_space-*_res-*_tdi'


def test_what_somebody_ignores_stays():
    own = bidsignore()
    assert bidsignore(own) == own
    assert bidsignore(f'mine\n{own}more\n') == f'mine\n{own}more\n'
    grown = own.replace('group.html', 'page.html')  # of an earlier version
    assert bidsignore(f'mine\n{grown}more') == f'mine\n{own}more'
    assert (
        bidsignore('**/*_method-snm_*\n**/figures\nassets\nconnectome\nlogs\nsub-*.html\ngroup.html\n') == own
    )
    for text in ('', 'mine\n', own.partition(RESULTS)[0]):
        assert bidsignore(text) == text


def test_it_is_a_schema_of_bids():
    """By the schema of schemas, but for maps: the name that the tutorial gives them has no suffix."""
    jsonschema = pytest.importorskip('jsonschema')
    meta = json.loads(resources.files('bidsschematools').joinpath('data/metaschema.json').read_text())
    found = jsonschema.validators.validator_for(meta)(meta).iter_errors(extended_schema())
    maps = {key for key, output in outputs().items() if output.level == 'mask' and output.suffix is None}
    rules = {('rules', 'files', 'deriv', 'lacuna', key, 'suffixes', 0) for key in maps}
    assert {tuple(error.absolute_path) for error in found} == rules
    assert 'disconnection_map' in maps
