"""``{outputs}``: the table of the files that Lacuna writes, from the data and the functions that name them."""

from sphinx.util.docutils import SphinxDirective

from lacuna.bids.outputs import connectome_path, group_output_name, output_name, outputs


def setup(app):
    """Register the directive."""
    app.add_directive('outputs', Outputs)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}


class Outputs(SphinxDirective):
    """A row for each kind of file."""

    def run(self):
        """Write Markdown, and parse it as part of the page."""
        lines = ['| file | content |', '|---|---|']
        for output in outputs().values():
            sidecar = ' (+ `.json`)' if output.sidecar else ''
            lines.append(f'| `{file_name(output)}`{sidecar} | `{output.key}`: {output.about} |')
        return self.parse_text_to_nodes('\n'.join(lines))


def file_name(output):
    """The pattern of its name, with the variable parts in angle brackets."""
    if output.level == 'connectome':
        return connectome_path(output.key, '<name>', '<space>', '<mm>').as_posix()
    if output.level == 'group':
        stat = '<stat>' if output.suffix == 'statmap' else None
        scope = f'<{output.scope}>' if output.scope else None
        return group_output_name('group_<entities>', output.key, output.desc, scope=scope, stat=stat)
    entities = {output.scope: f'<{output.scope}>'} if output.scope else {}
    return output_name('<mask>', output.key, **entities)
