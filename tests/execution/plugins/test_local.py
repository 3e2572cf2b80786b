"""How nodes are run: one group after the other, Ctrl-C, and a worker that dies."""

import pytest
from nipype.interfaces import utility as niu
from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, TraitedSpec, traits
from nipype.pipeline import engine as pe

from lacuna.execution.graph import run_workflow

OPTIONS = {'nprocs': 2, 'mem_gb': None}


class _InputSpec(BaseInterfaceInputSpec):
    number = traits.Int(0, usedefault=True)


class _OutputSpec(TraitedSpec):
    number = traits.Int()


class Interrupted(SimpleInterface):
    """Somebody presses Ctrl-C while it works."""

    input_spec = _InputSpec
    output_spec = _OutputSpec

    def _run_interface(self, runtime):  # noqa: ARG002
        raise KeyboardInterrupt


def add_one(number):
    return number + 1


def die(number):  # noqa: ARG001
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def group(name, first=add_one):
    """Two nodes, one behind the other."""
    workflow = pe.Workflow(name=name)
    nodes = [
        pe.Node(niu.Function(function=function, output_names=['number']), name=node)
        for node, function in (('first', first), ('last', add_one))
    ]
    nodes[0].inputs.number = 1
    workflow.connect(nodes[0], 'number', nodes[1], 'number')
    return workflow


def run(tmp_path, workflow, workers, groups=()):
    finished = []
    found = run_workflow(
        workflow, workers=workers, groups=groups, work_dir=tmp_path, crash_dir=tmp_path / 'crashes',
        on_finished=lambda node, _: finished.append(node), **OPTIONS,
    )  # fmt: skip
    return finished, *found


def test_one_group_after_the_other(tmp_path):
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([group('a'), group('b'), group('c')])
    finished, crashes, error = run(tmp_path, workflow, 1, ['all.c', 'all.a', 'all.b'])
    assert (crashes, error) == ([], None)
    # two at a time (nprocs), so that the first of the next group may begin before the last of a group
    assert [name for name in finished if name.endswith('last')] == ['all.c.last', 'all.a.last', 'all.b.last']
    assert finished.index('all.c.last') < finished.index('all.b.first')


@pytest.mark.parametrize(('workers', 'here'), [(1, True), (1, False), (2, True)])
def test_an_interrupt_is_no_failure_of_a_node(tmp_path, workers, here):
    """Nipype takes Ctrl-C during a node for an error of that node."""
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([
        group('a'),
        pe.Node(Interrupted(), name='interrupted', run_without_submitting=here),
    ])  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, workflow, workers)


def test_a_worker_that_dies_fails_what_it_did(tmp_path):
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([group('a', first=die), group('b'), group('c')])
    finished, crashes, error = run(tmp_path, workflow, 2, ['all.a', 'all.b', 'all.c'])
    # one node may have run beside it, in the other worker, and is killed with it; whose that is depends on the machine
    beside = {crash.node for crash in crashes} - {'all.a.first'}
    assert len(beside) <= 1
    spared = {'all.b', 'all.c'} - {node.rpartition('.')[0] for node in beside}
    assert {f'{name}.last' for name in spared} == {'all.b.last', 'all.c.last'} & set(finished)
    assert 'all.a.first' not in finished
    assert error is None  # what failed are nodes, not the plugin
    assert {crash.node for crash in crashes} >= {'all.a.first'}
    assert all('a worker process was killed' in crash.reason for crash in crashes)


def fail_as(number, words):  # noqa: ARG001
    raise ValueError(words)


def node_that_fails(name, words):
    function = niu.Function(function=fail_as, input_names=['number', 'words'], output_names=['number'])
    node = pe.Node(function, name=name)
    node.inputs.trait_set(number=1, words=words)
    return node


@pytest.mark.parametrize('workers', [1, 2])
def test_what_was_stopped_by_what(tmp_path, workers):
    """Of two nodes that groups share, and a group of its own; the names of groups begin alike."""
    workflow = pe.Workflow(name='all')
    groups = {name: group(name) for name in ('a', 'a_b', 'b', 'c')}
    for name in ('a_b', 'b'):
        shared = node_that_fails(f'for_{name}', f'what {name} needs')
        workflow.connect([(shared, groups[name], [('number', 'first.number')])])
    groups['a'].connect(
        [(groups['a'].get_node('last'), node_that_fails('end', 'of a'), [('number', 'number')])]
    )
    workflow.add_nodes([groups['a'], groups['c']])
    finished, crashes, error = run(tmp_path, workflow, workers, [f'all.{name}' for name in groups])
    assert error is None
    assert 'all.c.last' in finished
    by_node = {crash.node: (crash.reason, crash.stopped) for crash in crashes}
    assert by_node == {
        'all.for_a_b': ('what a_b needs', {'all.for_a_b', 'all.a_b.first', 'all.a_b.last'}),
        'all.for_b': ('what b needs', {'all.for_b', 'all.b.first', 'all.b.last'}),
        'all.a.end': ('of a', {'all.a.end'}),
    }
    assert all(crash.path.is_file() for crash in crashes)


@pytest.mark.parametrize('workers', [1, 2])
def test_a_crash_that_cannot_be_written_down(tmp_path, workers):
    """The others are finished all the same."""
    (tmp_path / 'crashes').write_text('in the way of the folder')
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([node_that_fails('broken', 'as it should'), group('a')])
    finished, (crash,), error = run(tmp_path, workflow, workers, ['all.a'])
    assert (crash.node, crash.reason, crash.path) == ('all.broken', 'as it should', None)
    assert error is None
    assert 'all.a.last' in finished


def leave_nothing(number):  # noqa: ARG001
    """As on a disk that is full: there is no file of the result."""
    import os
    import shutil
    from pathlib import Path

    shutil.rmtree(Path.cwd())
    raise OSError(28, os.strerror(28))


@pytest.mark.parametrize('workers', [1, 2])
def test_a_node_without_a_result_is_no_end_and_no_stop(tmp_path, workers):
    """What is raised in the callback of a pool is heard by nobody: the run went on for ever."""
    workflow = pe.Workflow(name='all')
    workflow.add_nodes([group('a', first=leave_nothing), group('b')])
    finished, (crash,), error = run(tmp_path, workflow, workers, ['all.a', 'all.b'])
    assert crash.node == 'all.a.first'
    assert 'all.b.last' in finished
    assert error is None
