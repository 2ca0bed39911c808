"""A line that is a command: cut into words, without a shell.

Quotes and backslashes mean what they mean to a shell. Whatever else a shell
would do something with makes the line unfit, and is named. Used by
_template.py.
"""
import os
import re

__all__ = ["hint", "words_of"]

_SPECIAL = re.compile(r"""[\\'"|&;<>()$`*?\[#~{}!=\n]""")
_TOKEN = re.compile(r"""
    (?P<blank>[ \t\n]+)
  | (?P<plain>[^ \t\n\\'"|&;<>()$`#~*?\[\]{}]+)
  | '(?P<single>[^']*)'
  | "(?P<double>(?:[^"\\]|\\.)*)"
  | \\(?P<escaped>.)
  | (?P<operator>(?:\d?(?:<<|>>|[<>])&?\d?|\|\||&&|;;|[|&;()]))
  | (?P<dollar>\$(?=[A-Za-z0-9_{(*@\#?$!'"-])|`)
  | (?P<other>[$#~*?\[\]{}])
""", re.X | re.S)
_INSIDE = re.compile(r"\\(.)", re.S)
_EXPANDED = re.compile(r"(?<!\\)(?:\\\\)*(\$[A-Za-z0-9_{(*@#?$!-]|`)")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}")

_BUILTINS = frozenset("""
. : alias bg break builtin case cd command continue declare do done elif else
esac eval exec exit export fc fg fi for function getopts hash if in jobs let
local popd pushd read readonly return select set shift shopt source then
times trap type typeset ulimit umask unalias unset until wait while
""".split())


def words_of(line):
    """The words; ValueError says what only a shell could do."""
    if _SPECIAL.search(line) is None:
        return [word for word in line.replace("\t", " ").split(" ") if word]
    words, word, fresh = [], None, True  # fresh: no quotes in it so far
    at, globs = 0, False
    while at < len(line):
        token = _TOKEN.match(line, at)
        if token is None:
            raise ValueError("a backslash at the end" if line[at] == "\\"
                             else "no closing quotation: %s" % line[at])
        at = token.end()
        kind = token.lastgroup
        text = token.group(kind)
        if kind == "blank":
            if word is not None:
                words.append(_finished(word, fresh, globs, words))
            word, fresh, globs = None, True, False
            continue
        if kind in ("operator", "dollar") \
                or kind == "other" and word is None and text in "#~":
            raise ValueError(_said(token.group()))
        if kind == "double":
            found = _EXPANDED.search(text)
            if found:
                raise ValueError(_said(found.group(1)))
            text = _INSIDE.sub(_unescaped, text)
        if kind in ("single", "double", "escaped"):
            fresh = False
            if kind == "escaped" and text == "\n":
                text = ""
        elif text in "*?[":
            globs = True
        word = text if word is None else word + text
    if word is not None:
        words.append(_finished(word, fresh, globs, words))
    return words


def _unescaped(match):
    """In double quotes a backslash is one, but before some."""
    letter = match.group(1)
    if letter == "\n":
        return ""
    return letter if letter in '"\\$`' else match.group()


def _finished(word, fresh, globs, before):
    """The word; what a shell would still make something else of is said."""
    if not before and fresh:
        if _ASSIGNMENT.match(word):
            raise ValueError("%s is the shell's: env %s ... sets a variable"
                             % (word, word))
        if word == "!":
            raise ValueError(_said(word))
    if globs:
        import glob
        if glob.glob(word):
            raise ValueError(_said(word))
    if fresh and "{" in word and _BRACES.search(word):
        raise ValueError(_said(word))
    return word


def _said(text):
    return "%s is the shell's: quote it, or --shell runs lines by /bin/sh" \
        % text


def hint(name):
    """Why a program may not have been found; ""."""
    if name in _BUILTINS:
        return " (%s is the shell's own: --shell)" % name
    if "BASH_FUNC_%s%%%%" % name in os.environ:
        return " (%s is a function of bash's: bash -c '%s \"$@\"' _ {})" % (
            name, name)
    return ""
