"""``{commandline} MODULE``: the commands and options of the parser that ``MODULE.build_parser`` makes.

The extensions that there are for argparse read help texts as reStructuredText, where ``*`` and ``--`` mean something,
and lose what an option takes (``--custom-parcellation NAME NIFTI LABELS SPACE``) or the groups of options.
"""

import argparse
import functools
import importlib
import re

from sphinx.util.docutils import SphinxDirective


def setup(app):
    """Register the directive."""
    app.add_directive('commandline', CommandLine)
    return {'version': '1', 'parallel_read_safe': True, 'parallel_write_safe': True}


class CommandLine(SphinxDirective):
    """A section for each command, an ``option`` of Sphinx for each argument: links and the search find them."""

    required_arguments = 1

    def run(self):
        """Write Markdown, and parse it as part of the page."""
        parser = importlib.import_module(self.arguments[0]).build_parser()
        text = '\n'.join(line for command in commands(parser) for line in described(command))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def commands(parser):
    """The parser and, in their order, those of its sub-commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)


def described(parser):
    """Lines of Markdown."""
    parser.formatter_class = functools.partial(argparse.HelpFormatter, width=88)
    formatter = parser.formatter_class(parser.prog)
    yield from (f'## {parser.prog}', '', escaped(parser.description or ''), '')
    yield from ('```text', parser.format_usage().removeprefix('usage: ').rstrip(), '```', '')
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, about in zip(action.choices.values(), action._choices_actions, strict=True):
                anchor = command.prog.replace(' ', '-')
                yield f'* [{command.prog}](#{anchor}): {escaped(about.help)}'
            yield ''
    yield from (f'```{{program}} {parser.prog}', '```', '')
    for group in parser._action_groups:
        arguments = [action for action in group._group_actions if shown(action)]
        if arguments and group.title not in ('positional arguments', 'options'):
            yield from (f'**{escaped(group.title)}**', '', escaped(group.description or ''), '')
        for action in arguments:
            yield f'```{{option}} {formatter._format_action_invocation(action)}'
            yield from (escaped(formatter._expand_help(action) if action.help else ''), '```', '')


def shown(action):
    """Whether an argument has a place of its own: not ``--help``, and not a command, which has a section."""
    return not isinstance(action, argparse._HelpAction | argparse._SubParsersAction) and (
        action.help is not argparse.SUPPRESS
    )


def escaped(text):
    """Plain text as Markdown; options as code, where two hyphens stay two."""
    return re.sub(r'--[a-z-]+', r'`\g<0>`', re.sub(r'[\\`*_{}\[\]<>#|$]', r'\\\g<0>', text))
