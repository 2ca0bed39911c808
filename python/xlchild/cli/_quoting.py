"""How a value is quoted at its place in a script of --shell.

Used by _template.py. A value is one word's text to /bin/sh, or a part of one,
wherever it stands: outside quotes, in single or in double ones, in $(...) within
those. Where no quoting could see to that, the place is refused. What a program
makes of its arguments, another shell say, is not known here.
"""
import re
import shlex

__all__ = ["Quoting", "quoter_behind", "quoters"]

_WORDS = frozenset(
    "if then else elif fi do done case esac while until for in function select "
    "time coproc".split())
_CASE = re.compile(r"(?<![\w./-])case(?![\w./-])")
_NUMBER = re.compile(r"[-+]?[0-9]+|")


def _quoted(value):
    return "'" + value.replace("'", "'\\''") + "'"


def _in_word(value):
    """Plain text stays so, unless it were an assignment or the shell's own."""
    if "=" in value or value in _WORDS:
        return _quoted(value)
    return shlex.quote(value)


def _in_single(value):
    return value.replace("'", "'\\''")


def _in_double(value):
    return re.sub(r'([\\"$`])', r"\\\1", value)


def _in_arithmetic(value):
    """There quotes are none, and names are looked up."""
    if not _NUMBER.fullmatch(value):
        raise ValueError("%r stands in $((...)) and is no number" % value)
    return value


_BY_PLACE = {"": _in_word, "(": _in_word, "~": _quoted, "'": _in_single,
             '"': _in_double, "((": _in_arithmetic}
_REFUSED = {
    "`": "stands in `...`: write $(...)",
    "{": "stands in ${...}, or behind one with quotes in it: set a variable to "
         "it first",
    "#": "stands in a comment",
    "<": "stands after <<, where its quotes would count for nothing: use "
         "printf '%s\\n' {} |",
    "$'": "stands in $'...', which is not every shell's",
    "\\": "stands behind a backslash, which would quote its quote",
    "$": "stands behind a $, which would take it for a name",
    "case": "stands behind a $(...), and there is a case, too: too involved, "
            "make it a script",
}


class Quoting:
    """Reads a script piece by piece; what stands between them is a value."""

    def __init__(self, script):
        self._stack = [""]
        self._last = ""  # what the next is seen with: \\ $ ~, $n: $NAME
        self._begins = True  # a # would begin a comment
        self._here = False  # behind a <<
        self._odd = False  # behind quotes in ${...}
        self._nested = False  # behind a $(
        self._involved = _CASE.search(script)  # whose ) are no ends

    def _top(self):
        return self._stack[-1]

    def place(self):
        """Where a value would stand now."""
        if self._here:
            return "<"
        if self._odd:
            return "{"
        if self._involved and self._nested:
            return "case"
        top = self._top()
        for around in reversed(self._stack):
            if around == "(":
                break
            if around in ("((", "(+"):
                return "(("
            if around == "{":
                return "{"
        if self._last == "$n":  # a name that must not go on
            return "$" if top == '"' else "~"
        return self._last or top

    def pass_value(self):
        """One stands here."""
        self._last, self._begins = "", False

    def read(self, text):
        """This stands next."""
        at = 0
        while at < len(text):
            at += self._step(text, at)

    def _step(self, text, at):
        """One character or more: how many."""
        char, top = text[at], self._top()
        last, self._last = self._last, ""
        begins, self._begins = self._begins, False
        if last == "\\":
            return 1
        if last and (char.isalnum() or char == "_"):
            self._last = "~" if last == "~" else "$n"
            return 1
        if top == "'":
            if char == "'":
                self._stack.pop()
            return 1
        if top == "#":
            if char == "\n":
                self._stack.pop()
                self._begins = True
            return 1
        if char == "\\":
            self._last = "\\"
            return 1
        if top == "$'":
            if char == "'":
                self._stack.pop()
            return 1
        if top == "`":
            if char == "`":
                self._stack.pop()
            return 1
        if char == "`":
            self._stack.append("`")
            return 1
        if char == "$":
            return self._dollar(text, at, top)
        if top == "{" and char in "'\"":
            self._odd = True  # what that means depends on too much
        elif char == '"':
            if top == '"':
                self._stack.pop()
            else:
                self._stack.append('"')
            return 1
        if top == "{":
            if char == "}":
                self._stack.pop()
            return 1
        if top in ("((", "(+"):
            return self._sum(text, at, char, top)
        if top != '"':
            self._word(text, at, char, top, begins)
        return 1

    def _sum(self, text, at, char, top):
        if char == "(":
            self._stack.append("(+")
        elif top == "(+" and char == ")":
            self._stack.pop()
        elif text.startswith("))", at):
            self._stack.pop()
            return 2
        return 1

    def _dollar(self, text, at, top):
        for begin, pushed in (("$((", "(("), ("$(", "("), ("${", "{"),
                              ("$[", "{")):
            if text.startswith(begin, at):
                self._stack.append(pushed)
                self._nested = True
                self._begins = pushed == "("
                return len(begin)
        if top != '"' and text.startswith("$'", at):
            self._stack.append("$'")
            self._odd = self._odd or top == "{"
            return 2
        self._last = "$"
        return 1

    def _word(self, text, at, char, top, begins):
        """Outside quotes."""
        if char == "'":
            self._stack.append("'")
        elif char == "#" and begins:
            self._stack.append("#")
        elif text.startswith("<<", at):
            self._here = True
        elif char == "(":
            self._stack.append("((" if text.startswith("((", at) else "(")
        elif char == "~":
            self._last = "~"
        elif char == ")" and top == "(":
            self._stack.pop()
        self._begins = char in " \t\n;&|()"


def quoters(pieces):
    """For each None of the pieces of a script, what quotes a value there.
    ValueError: none could."""
    found = []
    reader = Quoting("".join(piece or "" for piece in pieces))
    for piece in pieces:
        if piece is not None:
            reader.read(piece)
            continue
        place = reader.place()
        if place in _REFUSED:
            raise ValueError("--shell: what is replaced %s" % _REFUSED[place])
        found.append(_BY_PLACE[place])
        reader.pass_value()
    return found


def quoter_behind(pieces):
    """What quotes the values that follow a script; where they cannot, it says
    so when there is one."""
    try:
        return quoters(pieces + [" ", None])[-1]
    except ValueError as error:
        why = str(error)

    def refuse(_value):
        raise ValueError(why)
    return refuse
