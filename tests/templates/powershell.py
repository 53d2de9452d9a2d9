"""The commands that a PowerShell script runs, read from its syntax tree; what variables give is left open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tree_sitter
import tree_sitter_powershell
from tree_sitter import Node

ANYTHING = "*"
"""In a word: the part that a variable gives."""
ANY_WORDS = "..."
"""In place of words: the list that a variable holds."""
Words = tuple[str, ...]
PROGRAMS = ("aws", "docker")


class Script:
    """A parsed script in the manner of ecs/deploy.ps1.

    It runs commands by `Invoke-Native WORDS`, `Get-Answer EXAMPLE WORDS` and `Show-Command WORDS`, where WORDS is a
    list `@('docker', …)`, a sum of lists, or a variable that was assigned one; `Get-StackOutput KEY` stands for the
    command in its body.
    """

    def __init__(self, path: Path) -> None:
        parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
        self._root = parser.parse(path.read_bytes()).root_node

    def syntax_errors(self) -> list[str]:
        """Return the line and the text of each error."""
        errors = (node for node in _walk(self._root) if node.type == "ERROR" or node.is_missing)
        return [f"{node.start_point[0] + 1}: {_text(node)[:60]}" for node in errors]

    def command_lines(self) -> list[Words]:
        """Return the commands of AWS and Docker in the order of the script."""
        main = _walk(self._root, outside="function_statement")
        return [words for node in main if node.type == "command" for words in self._run_by(node)]

    def _run_by(self, command: Node) -> Iterator[Words]:
        name, *terms = _text(command).split()
        if name in ("Invoke-Native", "Get-Answer", "Show-Command"):
            words = self._words(command, n_skipped=int(name == "Get-Answer"))
            if words[0] in PROGRAMS:
                yield words
        elif name == "Get-StackOutput":
            for inner in self._body_of(name):
                for words in self._run_by(inner):
                    yield tuple(word.replace("'*'", terms[0]) for word in words)

    def _body_of(self, function: str) -> Iterator[Node]:
        for node in _walk(self._root):
            if node.type == "function_statement" and _text(node).split("(")[0] == f"function {function}":
                yield from (inner for inner in _walk(node) if inner.type == "command")

    def _words(self, node: Node, n_skipped: int = 0) -> Words:
        terms = [
            term.children[0] for term in _walk(node) if term.type == "unary_expression" and len(term.children) == 1
        ]
        atoms = [term for term in terms if term.type in ("string_literal", "variable")]
        return tuple(word for atom in atoms[n_skipped:] for word in self._words_of_atom(atom))

    def _words_of_atom(self, atom: Node) -> Words:
        if atom.type == "string_literal":
            return (_left_open(atom),)
        if _is_inside_list(atom):
            return (ANYTHING,)
        return self._assigned(_text(atom)) or (ANY_WORDS,)

    def _assigned(self, variable: str) -> Words:
        """Return the command that a variable holds, if that is what it was assigned."""
        for node in _walk(self._root):
            if node.type == "assignment_expression" and _text(node).startswith(f"{variable} = @("):
                words = self._words(next(part for part in _walk(node) if part.type == "array_expression"))
                return words if words and words[0] in PROGRAMS else ()
        return ()


def _walk(node: Node, outside: str = "") -> Iterator[Node]:
    if node.type != outside:
        yield node
        for child in node.children:
            yield from _walk(child, outside)


def _is_inside_list(node: Node) -> bool:
    parent = node.parent
    while parent is not None and parent.type != "command":
        if parent.type == "array_expression":
            return True
        parent = parent.parent
    return False


def _left_open(literal: Node) -> str:
    text = _text(literal)[1:-1]
    variables = {_text(node) for node in _walk(literal) if node.type == "variable"}
    for variable in sorted(variables, key=len, reverse=True):
        text = text.replace(variable, ANYTHING)
    return text


def _text(node: Node) -> str:
    return (node.text or b"").decode()
