"""TemplateFlow's folder: its list of files, and our questions."""

import pytest

from lacuna.images import templateflow
from lacuna.images.atlases import fetch, find_atlases
from lacuna.images.restrictions import _tissue
from lacuna.images.spaces import find_transform, transform_name

N6, N2009 = 'MNI152NLin6Asym', 'MNI152NLin2009cAsym'


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A machine that has never used TemplateFlow, without a network; the files that its client would fetch."""
    from templateflow.client import TemplateFlowClient

    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path))
    home = templateflow.listed_templateflow_home()
    found, client = [], TemplateFlowClient(root=home)

    def deliver(home, template, query):
        paths = client.ls(template, **query)
        found.append([path.relative_to(home) for path in paths])
        for path in paths:
            path.write_bytes(b'content')
        return ''

    monkeypatch.setattr(templateflow, 'download', deliver)
    return found


@pytest.mark.filterwarnings('ignore')
def test_our_questions_find_one_file_each(tmp_path, asked):
    (atlas,) = find_atlases(['schaefer2018parcels100networks7'], N6)
    assert not atlas.is_here
    assert fetch(atlas).is_here
    for source, target in ((N6, N2009), (N2009, N6)):
        find_transform(source, target)
    tissue = _tissue('GM')
    names = [atlas.image, *(tmp_path / transform_name(*pair) for pair in ((N6, N2009), (N2009, N6))), tissue]
    assert asked == [[path.relative_to(tmp_path)] for path in names]
    find_transform(N6, N2009)
    assert len(asked) == 4


@pytest.mark.filterwarnings('ignore')
def test_what_templateflow_does_not_know(tmp_path, monkeypatch):
    monkeypatch.setenv('TEMPLATEFLOW_HOME', str(tmp_path))
    query = {'from': 'MNI305', 'suffix': 'xfm', 'mode': 'image', 'extension': '.h5'}
    assert (
        templateflow.download(templateflow.listed_templateflow_home(), N6, query)
        == 'it does not know the file'
    )
