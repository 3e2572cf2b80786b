"""Graphs of Nipype in this process and under its own plugins: in their order, and with the reason of a failure."""

import pytest
from nipype.interfaces import utility as niu
from nipype.pipeline import engine as pe

from lacuna.execution.plugins.nipype import run_by_plugin, run_in_order


def add_one(number):
    return number + 1


def fail_as(number, words):  # noqa: ARG001
    raise ValueError(words)


def group(name, *, words=None):
    """Two nodes, one behind the other; the first fails with some words."""
    workflow = pe.Workflow(name=name)
    first = pe.Node(
        niu.Function(
            function=fail_as if words else add_one,
            input_names=['number', 'words'] if words else ['number'],
            output_names=['number'],
        ),
        name='first',
    )
    first.inputs.number = 1
    if words:
        first.inputs.words = words
    last = pe.Node(niu.Function(function=add_one, output_names=['number']), name='last')
    workflow.connect(first, 'number', last, 'number')
    return workflow


def test_all_nodes_in_their_order(tmp_path):
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([group('a'), group('b')])
    run_in_order(workflow, tmp_path)
    assert len(list(tmp_path.rglob('result_last.pklz'))) == 2


def test_the_first_error_with_its_own_words(tmp_path):
    with pytest.raises(RuntimeError, match=r'^what a needs$'):
        run_in_order(group('a', words='what a needs'), tmp_path)
    assert not list(tmp_path.rglob('result_last.pklz'))


@pytest.mark.parametrize('plugin', [('Linear', {}), ('MultiProc', {'n_procs': 2})])
def test_what_failed_under_a_plugin_of_nipype(tmp_path, plugin):
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([group('a', words='as a should'), group('b')])
    (tmp_path / 'crashes').mkdir()
    finished = []
    (crash,), error = run_by_plugin(
        workflow,
        *plugin,
        work_dir=tmp_path,
        crash_dir=tmp_path / 'crashes',
        on_finished=finished.append,
    )
    assert (crash.node, crash.reason, crash.path.parent) == (
        'all.a.first',
        'as a should',
        tmp_path / 'crashes',
    )
    assert error is not None
    assert set(finished) == {'all.b.first', 'all.b.last'}
