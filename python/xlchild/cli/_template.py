"""From the values of a job to its command. Used by _input.py.

A word of COMMAND is cut into what stands and what is replaced once, and
filled for each job. Where {} stands in a word for several values, the word
becomes several, as it would in a shell.
"""
import os

__all__ = ["SLOT", "Template", "joined"]

SLOT = "\0%\0"  # stands for the slot until it is known; no word can hold it
_FORM = r"(\.|/\.|//?)?"


class _Field:
    """One replacement string: all values, the number-th, {#} or {%}."""

    __slots__ = ("number", "form", "what", "quote")

    def __init__(self, what, number=None, form=None):
        self.what = what
        self.number = number
        self.form = form
        self.quote = str  # in a script: as its place there wants


def _form(value, form):
    """A path in one of GNU parallel's forms."""
    if not form:
        return value
    if form == "//":
        return _folder(value)
    if form in ("/", "/."):
        value = os.path.basename(value)
    if form in (".", "/."):  # of .bashrc nothing is left
        before, dot, after = value.rpartition(".")
        value = before if dot and "/" not in after else value
    return value


def _folder(value):
    """As dirname(1) has it."""
    path = value.rstrip("/")
    if not path:
        return "/" if value else "."
    folder, slash, _ = path.rpartition("/")
    return folder.rstrip("/") or slash or "."


def joined(words):
    """Words as a line that a shell reads."""
    import shlex  # slow to import
    return shlex.join(words)


class Template:
    """Makes the command for a tuple of values.

    words: what stands on the command line; none: each line is a command.
    context: a word with {} is repeated for each value. names: of the values,
    for {name}.
    """

    def __init__(self, words, replace=None, shell=False, context=False,
                 names=()):
        self.words = list(words)
        self.shell = shell
        self._replace = replace
        self._context = context
        self._names = {name: at for at, name in enumerate(names)}
        self._mark = "{" if replace in (None, "{}") else replace
        self._pattern = None
        texts = [" ".join(self.words)] if shell and self.words else self.words
        if shell and context:
            import re
            texts = re.split(r"(\s+)", texts[0]) if texts else []
        self._parts = [self._cut(text) for text in texts]
        fields = [field for parts in self._parts for field in parts
                  if type(field) is _Field]
        self.has_fields = bool(fields)
        self._behind = str
        if shell and self.words:
            self._quote(fields)
        self.has_slot = any(field.what == "%" for field in fields)
        self.takes_values = any(field.what in ("all", "at")
                                for field in fields)

    def _quote(self, fields):
        """Each field is quoted for its place in the script; and the values
        behind it, where it has no field."""
        from ._quoting import quoter_behind, quoters  # slow to import
        pieces = [part if type(part) is str
                  else None if part.what in ("all", "at") else "1"
                  for parts in self._parts for part in parts]
        found = iter(quoters(pieces))
        for field in fields:
            if field.what in ("all", "at"):
                field.quote = next(found)
        if not fields:
            self._behind = quoter_behind(pieces)

    def _patterns(self, replace):
        import re  # slow to import
        if replace not in (None, "{}"):
            return re.compile("(%s)" % re.escape(replace))
        names = "".join("|" + re.escape(name) for name in
                        sorted(self._names, key=len, reverse=True))
        return re.compile(r"\{(?:([#%%])|(-?\d+%s)?%s)\}" % (names, _FORM))

    def _cut(self, text):
        """What stands and what is replaced, in turns."""
        if self._mark not in text:
            return [text]
        if self._pattern is None:
            self._pattern = self._patterns(self._replace)
        parts, end = [], 0
        for match in self._pattern.finditer(text):
            if match.start() > end:
                parts.append(text[end:match.start()])
            end = match.end()
            parts.append(self._field(match))
        if end < len(text) or not parts:
            parts.append(text[end:])
        return parts

    def _field(self, match):
        if self._replace not in (None, "{}"):
            return _Field("all")
        special, number, form = match.groups()
        if special:
            return _Field(special)
        if number is None:
            return _Field("all", form=form)
        at = self._names.get(number)
        if at is None:
            at = int(number)
            if at == 0:
                raise ValueError("{0} stands for nothing")
            at = at - 1 if at > 0 else at
        return _Field("at", at, form)

    def command(self, values, seq):
        """The argument list; seq is {#}. ValueError: it is none."""
        if not self.words:
            from ._words import words_of
            text = values[0] if len(values) == 1 else joined(values)
            if self.shell:
                return ["/bin/sh", "-c", text] if text else []
            return words_of(text)
        if self.shell:
            return ["/bin/sh", "-c", self._script(values, seq)]
        if not self.has_fields:
            return self.words + list(values)
        words = []
        for parts in self._parts:
            if len(parts) == 1 and type(parts[0]) is str:
                words.append(parts[0])
            else:
                words += self._filled(parts, values, seq)
        return words

    def text(self, values, seq):
        """The template's words in one, filled: a tag."""
        return "".join(" ".join(self._filled(parts, values, seq))
                       for parts in self._parts)

    def _script(self, values, seq):
        if self._context:
            text = "".join(" ".join(self._filled(parts, values, seq))
                           for parts in self._parts)
        else:
            text = " ".join(self._filled(self._parts[0], values, seq))
        if self.has_fields:
            return text
        return " ".join([text] + [self._behind(value) for value in values])

    def _filled(self, parts, values, seq):
        """The words that one word becomes."""
        if self._context and len(values) > 1 and any(
                type(part) is _Field and part.what == "all"
                for part in parts):
            words = []
            for value in values:
                words += self._joined(parts, values, (value,), seq)
            return words
        return self._joined(parts, values, values, seq)

    def _joined(self, parts, values, these, seq):
        words, word = [], None
        for part in parts:
            if type(part) is str:
                word = part if word is None else word + part
                continue
            if part.what == "all":
                texts = [part.quote(_form(value, part.form)) for value in these]
                if not texts:
                    continue
                texts[0] = texts[0] if word is None else word + texts[0]
                words += texts[:-1]
                word = texts[-1]
                continue
            text = self._single(part, values, seq)
            word = text if word is None else word + text
        if word is not None:
            words.append(word)
        return words

    @staticmethod
    def _single(field, values, seq):
        if field.what == "#":
            return str(seq)
        if field.what == "%":
            return SLOT
        at = field.number
        if -len(values) <= at < len(values):
            return field.quote(_form(values[at], field.form))
        if at < 0 and values:
            raise ValueError("{%d} stands for nothing: of values there are "
                             "%d here" % (at, len(values)))
        return ""

    def cost(self, values):
        """At most so many bytes that a command has by these values, beyond
        what it has without any; and the words."""
        if not self.has_fields:
            return sum(len(os.fsencode(value)) + 1 for value in values)
        total = 0
        for value in values:
            size = len(os.fsencode(value)) + 1
            if self.shell:  # wherever it stands
                size += 2 + 3 * value.count("'") + sum(
                    value.count(char) for char in '\\"$`')
            for parts in self._parts:
                marks = sum(type(part) is _Field and part.what == "all"
                            for part in parts)
                total += marks * size
                if marks and self._context:
                    total += sum(len(os.fsencode(part)) for part in parts
                                 if type(part) is str) + 1
        return total

    def fixed_cost(self, seq):
        """Bytes of a command without values."""
        return sum(len(os.fsencode(word)) + 1
                   for word in self.command((), seq))
