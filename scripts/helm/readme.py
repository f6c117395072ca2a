#!/usr/bin/env python3
"""Prints the chart's README: the text by hand, then a table of all values.

Each key's row is what the comment above it in values.yaml says, and its default. A mapping whose keys
have comments of their own is a section, any other is a value. A key without a comment is an error.
"""

import json
import pathlib
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm/token-authority"
MARK = "<!-- From values.yaml: make helm-docs -->"


def comment_above(lines, line):
    """Returns the comment that ends above a line, as one text."""
    words = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        words.insert(0, lines[line].strip().lstrip("#").strip())
    return " ".join(words)


def is_section(node, lines):
    """Returns whether keys in it, however deep, have comments."""
    return isinstance(node, yaml.MappingNode) and any(
        comment_above(lines, key.start_mark.line) or is_section(value, lines)
        for key, value in node.value
    )


def rows(node, lines, path=()):
    """Yields each value, and each section that has a comment: its path, default, what it is."""
    for key, value in node.value:
        text = comment_above(lines, key.start_mark.line)
        name = path + (key.value,)
        if is_section(value, lines):
            if text:
                yield ".".join(name), None, text
            yield from rows(value, lines, name)
        elif text:
            # JSON is YAML, and stays on one line.
            default = yaml.safe_load(yaml.serialize(value))
            yield ".".join(name), json.dumps(default), text
        else:
            sys.exit(f"values.yaml: {'.'.join(name)} has no comment above it")


def readme():
    """Returns the README as it is to be."""
    text = (CHART / "values.yaml").read_text()
    by_hand = (CHART / "README.md").read_text().split(MARK)[0]
    table = ["| value | default | what it is |", "|---|---|---|"]
    table += [
        f"| `{name}` | {'' if default is None else f'`{default}`'} | {what} |"
        for name, default, what in rows(yaml.compose(text), text.splitlines())
    ]
    return by_hand + MARK + "\n\n" + "\n".join(table) + "\n"


if __name__ == "__main__":
    print(readme(), end="")
