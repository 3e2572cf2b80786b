"""Docstrings of workflow builders, without the picture of the graph: that would need Graphviz to build these pages."""


def setup(app):
    """Before the extension that reads the sections of a docstring."""
    app.connect('autodoc-process-docstring', _drop_graph, priority=100)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}


def _drop_graph(_app, _what, _name, _obj, _options, lines):
    """Drop the paragraph ``Workflow Graph``, down to the next line that is not indented."""
    if 'Workflow Graph' in lines:
        start = lines.index('Workflow Graph')
        after = (
            i for i, line in enumerate(lines[start + 1 :], start + 1) if line and not line.startswith(' ')
        )
        del lines[start : next(after, len(lines))]
