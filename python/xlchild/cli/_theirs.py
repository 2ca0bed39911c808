"""What xargs and GNU parallel have and this has not: said, with what to use.

Loaded only when a word was not understood. Each row is the names of an option
of theirs, and what to use instead; "" where there is nothing.
"""
import re

from ._table import BY_NAME

__all__ = ["refusal", "refused_names"]

_ROWS = """
-p --interactive: nobody is asked; --dry-run shows what would be run
--show-limits --showlimits --max-line-length-allowed --maxlinelengthallowed: \
getconf ARG_MAX says it; lines that do not fit are never put together
-e: -E END
-l: -L N
-B -g -H -T -U -W -Y: GNU parallel has retired it, too
--ssh --sshdelay --ssh-delay -S --sshlogin --slf --sshloginfile \
--controlmaster -M --filter-hosts --filterhosts --filter-host --onall \
--nonall --hgrp --hostgrp --hostgroup --hostgroups --rsync-opts --rsyncopts: \
other machines are reached by --scheduler ADDRESS
--transfer --transfer-file --transferfile --transfer-files --transferfiles \
--tf --return --trc --cleanup --basefile --bf: files are not sent to other \
machines; --scheduler runs commands where they are
--sql --sqlmaster --sql-master --sqlworker --sql-worker --sqlandworker \
--sql-and-worker: --report FILE writes a JSON line for each command
--retry-failed --retryfailed: --resume-failed with the same input
--no-keep-order --nokeeporder --nok --no-k: leave out -k
--latest-line --latestline --ll: --lb
--tmux --tmux-pane --tmuxpane: --tty runs a command on the terminal
--parens --rpl --plus --extensionreplace --er --basenamereplace --bnr \
--dirnamereplace --dnr --basenameextensionreplace --bner --seqreplace \
--slotreplace: the replacement strings are {} {.} {/} {//} {/.} {#} {%} {1} \
and their like; sh -c or sed make the rest
--noswap: --memfree SIZE
--number-of-cpus --numberofcpus --number-of-sockets --numberofsockets \
--number-of-cores --numberofcores --number-of-threads --numberofthreads: \
nproc says it
--use-sockets-instead-of-threads --usesocketsinsteadofthreads \
--use-cores-instead-of-threads --usecoresinsteadofthreads \
--use-cpus-instead-of-cores --usecpusinsteadofcores: -j N
--shell-quote --shellquote --shell_quote: --dry-run prints words quoted for \
the shell
--ctag --ctagstring --ctag-string --color --colour --color-failed \
--colour-failed --colorfailed --colourfailed --color-fail --colour-fail \
--colorfail --colourfail --cf: --tag; nothing is coloured
--template --tmpl: sed or envsubst make a file of a template
--compress --compress-program --compressprogram --use-compress-program \
--usecompressprogram --decompress-program --decompressprogram \
--use-decompress-program --usedecompressprogram: output waits as it is in \
--tmpdir
--ctrl-c --ctrlc --no-ctrl-c --no-ctrlc --noctrlc: Ctrl-C ends the commands
--total-jobs --totaljobs --total: the number is counted where it can be
--arg-sep --argsep --arg-file-sep --argfilesep: the separators are ::: and \
::::
--record-env --recordenv --session: every variable reaches the commands
--profile -J: options stand on the command line; a shell's alias keeps them
--tollef: the separators are ::: and ::::
--linkinputsource --xapplyinputsource: :::+ and ::::+
--bibtex --citation: there is nothing to cite
--limit: --load and --memfree hold commands back; -j N
--memsuspend: --memfree SIZE
--csv: --colsep REGEX
--min-version --minversion: --version
--semaphore --semaphore-timeout --semaphoretimeout --st --semaphore-name \
--semaphorename --id --fg --bg --wait: flock(1)
--shebang --hashbang --shebang-wrap --embed: a script that runs xlchild -a
--skip-first-line --skipfirstline: tail -n +2, or --header :
--round-robin --roundrobin --round --recstart --recend --regexp --regex \
--remove-rec-sep --removerecsep --rrs --block-timeout --blocktimeout --bt \
--cat --fifo --tee --shard --bin --group-by --groupby: --pipe gives each \
job a block of whole lines on its standard input
--pipepart --pipe-part: --pipe -a FILE
--output-as-files --outputasfiles --files: --results DIR
--filter: choose among the lines before, with awk or grep
--shell-completion --shellcompletion: --completion SHELL
--debug -D --bug: -t says what is run
"""

_PERL = re.compile(r"\{=.*=\}", re.S)


def _read():
    table = {}
    for row in _ROWS.replace("\\\n", "").strip().splitlines():
        names, words = row.split(": ", 1)
        for name in names.split():
            table[name] = words
    return table


def refused_names():
    """Every option that is known and refused."""
    return sorted(_read())


def refusal(name):
    """What is said of an option that does not exist."""
    words = _read().get(name)
    if words:
        return "%s is not supported: %s" % (name, words)
    if name.startswith("--"):
        names = sorted(other for option in BY_NAME.values()
                       for other in option.names if other.startswith(name))
        if not names:
            import difflib
            names = difflib.get_close_matches(name, BY_NAME, 1)
        if names:
            return "%s: no such option; is it %s?" % (
                name, " or ".join(dict.fromkeys(names)))
    return "%s: no such option; --help has them all" % name


def wrong_field(words):
    """What looks like a replacement string of theirs, said; None."""
    for word in words:
        found = _PERL.search(word)
        if found:
            return "%s is not supported: sh -c or sed can do it" \
                % found.group()
    return None
