"""--help, the manual page, completions: all of them made of the table.

Called by _options.py for --help and its kin; scripts and tests write the
files from here: manual() and completion().
"""
import sys
import textwrap

from ._table import (DESCRIPTION, DOCTOR, EXAMPLE, EXITS, FIELDS, FILE, FOLDER,
                     SECTIONS, SOURCES, TABLE)

__all__ = ["completion", "help_text", "manual", "show"]

_LEFT = 26
_WIDTH = 79


def show(what, value=None):
    """Print it and end the process."""
    if what == "version":
        text = "xlchild %s\n" % version()
    elif what == "completion":
        text = completion(value)
    else:
        text = {"help": help_text, "manual": manual}[what]()
    try:
        if sys.stdout is not None:
            sys.stdout.write(text)
            sys.stdout.flush()
    except OSError as error:
        sys.stdout = None  # Python would try again at its end
        raise SystemExit(141 if isinstance(error, BrokenPipeError) else 255)
    raise SystemExit(0)


def version():
    """What the library calls itself."""
    from .._libxl import libxl_version_string
    return libxl_version_string()


def _left(option):
    names = ", ".join(option.names)
    if option.metavar is None:
        return names
    if option.kind == "maybe":
        return "%s[=%s]" % (names, option.metavar)
    return "%s %s" % (names, option.metavar)


def _two_columns(left, text):
    lines = textwrap.wrap(text, _WIDTH - _LEFT)
    first = "  %-*s" % (_LEFT - 3, left)
    if len(left) > _LEFT - 4:
        return [first.rstrip()] + [" " * _LEFT + line for line in lines]
    return [(first + " " + lines[0]).rstrip()] \
        + [" " * _LEFT + line for line in lines[1:]]


def help_text():
    """What --help prints."""
    lines = ["usage: xlchild [OPTION]... [COMMAND...] "
             "[::: VALUE...]... [:::: FILE...]...", "", DESCRIPTION]
    for section in SECTIONS:
        lines += ["", section.lower() + ":"]
        for option in TABLE:
            if option.section == section:
                lines += _two_columns(_left(option), option.help)
    for title, rows in (("instead", (DOCTOR,)), ("in COMMAND", FIELDS),
                        ("after COMMAND", SOURCES),
                        ("exit status", EXITS)):
        lines += ["", title + ":"]
        for left, text in rows:
            lines += _two_columns(left, text)
    lines += ["", "Example: " + EXAMPLE, ""]
    return "\n".join(lines)


# ---- the manual page -------------------------------------------------------


def _roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


def manual():
    """The page xlchild(1)."""
    lines = ['.TH XLCHILD 1 "" "xlchild %s" "User Commands"' % version(),
             ".SH NAME", "xlchild \\- run many commands, some at a time",
             ".SH SYNOPSIS", ".B xlchild",
             "[\\fIOPTION\\fR]... [\\fICOMMAND\\fR...] "
             "[\\fB:::\\fR \\fIVALUE\\fR...]... "
             "[\\fB::::\\fR \\fIFILE\\fR...]...",
             ".SH DESCRIPTION", _roff(DESCRIPTION.replace("\n", " ")),
             ".PP",
             "No shell is involved unless \\fB\\-\\-shell\\fR is given: "
             "words stay words, whatever is in them. A line that is a "
             "command may have quotes and backslashes; whatever else a "
             "shell would interpret in it is an error that names it.",
             ".PP",
             "Each command has a session of its own: it cannot use the "
             "terminal, unless \\fB\\-\\-tty\\fR is given, and it is ended "
             "together with all that it has started."]
    for section in SECTIONS:
        lines.append(".SH " + ("OPTIONS: " if section == SECTIONS[0]
                               else "") + section.upper())
        for option in TABLE:
            if option.section == section:
                lines += _entry(_names(option), option.help)
    for title, rows in (("DOCTOR", (DOCTOR,)),
                        ("REPLACEMENT STRINGS", FIELDS),
                        ("SOURCES", SOURCES), ("EXIT STATUS", EXITS)):
        lines.append(".SH " + title)
        for left, text in rows:
            lines += _entry("\\fB%s\\fR" % _roff(left), text)
    lines += [
        ".SH ENVIRONMENT"]
    for left, text in (
            ("TMPDIR", "where output waits (--tmpdir)"),
            ("MAKEFLAGS", "how the job server of GNU make is reached: "
             "commands take part in it"),
            ("NO_COLOR", "if it is set, a progress bar has no colours")):
        lines += _entry("\\fB%s\\fR" % left, text)
    lines += [".SH EXAMPLES", ".nf", _roff(EXAMPLE),
              _roff("seq 100 | xlchild -j8 --joblog log ./step {}"),
              _roff("xlchild -k echo {1}-{2} ::: a b ::: 1 2"),
              _roff("xlchild --shell 'sort {} > {.}.sorted' ::: *.txt"),
              ".fi", ".SH SEE ALSO",
              "xargs(1), parallel(1), make(1), xlchild(7)", ""]
    return "\n".join(lines)


def _names(option):
    names = ", ".join("\\fB%s\\fR" % _roff(name) for name in option.names)
    if option.metavar is None:
        return names
    form = "%s[=\\fI%s\\fR]" if option.kind == "maybe" else "%s \\fI%s\\fR"
    return form % (names, _roff(option.metavar))


def _entry(left, text):
    return [".TP", left, _roff(text[:1].upper() + text[1:] + ".")]


# ---- completions -----------------------------------------------------------


def completion(shell):
    """A script for the shell: bash, zsh or fish."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _choices(option):
    return {"completion": "bash zsh fish", "jobserver": "pipe fifo",
            "trim": "n l r lr",
            "halt": "soon,fail=1 now,fail=1 soon,success=1 now,success=1 "
            "soon,done=1 now,done=1 never"}.get(option.dest, "")


def _bash():
    lines = ["# bash completion of xlchild's options; made by xlchild "
             "--completion bash", "_xlchild() {",
             "    local word=${COMP_WORDS[COMP_CWORD]}",
             "    local before=${COMP_WORDS[COMP_CWORD-1]} at=1",
             '    case "$before" in']
    for option in TABLE:
        if option.kind not in ("value", "list"):
            continue
        if option.complete == FILE:
            act = 'mapfile -t COMPREPLY < <(compgen -f -- "$word")'
        elif option.complete == FOLDER:
            act = 'mapfile -t COMPREPLY < <(compgen -d -- "$word")'
        elif _choices(option):
            act = 'mapfile -t COMPREPLY < <(compgen -W "%s" -- "$word")' \
                % _choices(option)
        else:
            act = "COMPREPLY=()"
        lines.append("    %s) %s; return ;;" % ("|".join(option.names), act))
    names = " ".join(name for option in TABLE for name in option.names)
    takes = "|".join(name for option in TABLE for name in option.names
                     if option.kind in ("value", "list"))
    lines += [
        "    esac",
        "    # what follows the options is a command, and its words",
        "    while ((at < COMP_CWORD)); do",
        '        case "${COMP_WORDS[at]}" in',
        "        %s) at=$((at + 2)) ;;" % takes,
        "        -*) at=$((at + 1)) ;;",
        "        *) break ;;",
        "        esac",
        "    done",
        "    if ((at < COMP_CWORD)); then",
        '        mapfile -t COMPREPLY < <(compgen -f -- "$word")',
        '    elif [[ $word == -* ]]; then',
        '        mapfile -t COMPREPLY < <(compgen -W "%s" -- "$word")'
        % names,
        "    else",
        '        mapfile -t COMPREPLY < <(compgen -c -- "$word")',
        "    fi",
        "}",
        "complete -o filenames -F _xlchild xlchild", ""]
    return "\n".join(lines)


def _zsh():
    def quoted(text):
        for sign in "\\[]:":
            text = text.replace(sign, "\\" + sign)
        return text.replace("'", "'\\''")

    lines = ["#compdef xlchild", "# made by xlchild --completion zsh",
             "_arguments -s -S -A '-*' \\"]
    for option in TABLE:
        action = ""
        if option.kind in ("value", "list", "maybe"):
            how = {FILE: "_files", FOLDER: "_files -/"}.get(option.complete)
            if how is None:
                how = "(%s)" % _choices(option) if _choices(option) else " "
            action = "%s%s:%s" % (":" if option.kind != "maybe" else "::",
                                  quoted(option.metavar), how)
        for name in option.names:
            mark = ""
            if option.kind in ("value", "list"):
                mark = "+" if len(name) == 2 else "="
            elif option.kind == "maybe":
                mark = "-" if len(name) == 2 else "=-"
            many = "*" if option.kind == "list" else ""
            lines.append("    '%s%s%s[%s]%s' \\" % (
                many, name, mark, quoted(option.help), action))
    lines += ["    '(-):command:_command_names -e' \\",
              "    '*::arguments:_normal'", ""]
    return "\n".join(lines)


def _fish():
    lines = ["# made by xlchild --completion fish",
             "complete -c xlchild -n 'not __fish_seen_subcommand_from :::' "
             "-xa '(__fish_complete_subcommand)'"]
    for option in TABLE:
        words = ["complete -c xlchild"]
        for name in option.names:
            words.append("-s %s" % name[1:] if len(name) == 2
                         else "-l %s" % name[2:])
        if option.kind in ("value", "list"):
            if option.complete == FILE:
                words.append("-rF")
            elif option.complete == FOLDER:
                words.append("-xa '(__fish_complete_directories)'")
            elif _choices(option):
                words.append("-xa '%s'" % _choices(option))
            else:
                words.append("-x")
        text = option.help.replace("\\", "\\\\").replace("'", "\\'")
        words.append("-d '%s'" % text)
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"
