"""Command lines that nobody thought of, run by theirs and by ours.

Options of the manuals are put together at random, from a seed. What comes of
a line must be the same (output, exit status, files), or ours must have said
in words why not. What is different on purpose, and is on the page "from xargs
and parallel", is taken out beforehand by KNOWN and like().
"""
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from clitools import in_folder, programs

pytestmark = pytest.mark.own_process
SECONDS = 120

FILES = {
    "abc": "A\nB\nC\n", "def": "D\nE\nF\n", "abc0": "A\0B b\0C\0",
    "tsv": "f1\tf2\nA\tB\nC\tD\n", "last": "x\ny", "empty": "",
    "csv": "n1,n2,n3\na, b ,c\n1,2\n\n,x,,\n",
    "paths": "a/b.c\n.bashrc\nd.e/f\n/g/h.tar.gz\nx/\n",
    "num": "".join("%d\n" % number for number in range(1, 13)),
    "blanks": " a  b\n\n\tc\nd'e\n\"f\" g\n*\n",
}
INPUTS = """
::: A B C|::: 'a b' "it's" '*'|:::: abc|:::: abc def|::: A B ::: 1 2
::: A B :::+ 1 2|::: A B C :::: def|::: 1 2 3 :::+ x y|::: A_B C_D|:::: tsv
::: a/b.c .x d.e/f /g/h.i.j k/|::: '' x|::: 3 1 2|:::: abc ::::+ def
-a abc|-a abc -a def|-a num|< abc|< num|< blanks|< csv|< paths|< tsv|-0 < abc0
< last|< empty"""
COMMANDS = """
echo|echo x{}y|echo {.} {/} {//} {/.}|echo {#} {}|echo {1} {2}|echo {2}-{1}
echo {-1} {1}|printf '[%s]\\n'|printf '[%s]\\n' p{}q {1.}|echo {} {}|cat {}
echo {3} {2/} {1//}|test {} = A|ls {}|false|true|echo {1}{2}|echo '{}'
sh -c 'echo out; echo err >&2; exit 3' _|printf '%s\\n' {1/.} {-1.}|wc -c"""
OPTIONS = """
-k|-j1|-j2|-j 3|--colsep ,|--colsep '\\t'|-C _|--header :|--link|-N2|-n2|-n 1
-L2|-L1|-X|-m|--xargs|--tag|--tagstring 'T{}'|--tagstring '{1}-x'
--tagstring 'a\\tb'|--joblog log|--joblog log --resume|--halt never
-j1 --halt soon,fail=1|-j1 --halt now,fail=1|-j1 --halt soon,fail=50%
-j1 --halt soon,done=2|-j1 --halt now,success=1|-j1 --halt now,success=50%
-j1 --halt soon,fail=30%|--timeout 20|--shellquote|--dry-run|-0|-d _|-d ,
-d '\\n'|--trim lr|--trim l|--trim r|--trim n|-E B|-E b|-I ,,|-I %|-I{}
--max-args=3|-v|-t|--silent|--group|--lb|-u|--retries 2|--delay 0|--wd /|--wd .
--env X|--nice 3|-P2|-P1|-x|--shuf|--process-slot-var S|--termseq TERM
--max-lines=2|--max-procs 2|--bar|--eta|--progress|--plus|--rpl '{x} s/a/b/'
--files|--compress|--semaphore|--csv|--pipepart"""
PIPED = """
cat|wc -l|head -1|sh -c 'cat; echo {#}'|tr a-z A-Z|echo {}|sed s/^/x/"""
PIPE_OPTIONS = """
-j1|-N2|-N5|--block 8|--block 1k|--block 20|-L2|-n3|-0|-d _|--tag
--joblog log|--recstart A|--recend B|--regexp|--header :|-v|--lb|-E b|--rrs
--round-robin|--cat|--trim lr|-X|-s 20|--colsep ,|-j1 --halt soon,fail=1
--dry-run"""
OF_XARGS = """
-n1|-n2|-n 3|-L1|-L2|-P1|-P2|-I{}|-I %|-i|-0|-d,|-d _|-d '\\n'|-r|-t|-x
-E b|-E_|--max-args=2|--null|-a abc|-a num|--delimiter=b|--eof|-e|-eB|--replace
--replace=%|-l|-l2|--max-lines=2|--max-procs=1|--no-run-if-empty|--verbose
-P1 --process-slot-var=S|-p|--show-limits|-o"""
XARGS_COMMANDS = """
echo|echo x|echo x{}y|echo a % b|printf '[%s]\\n'|false|true|ls|test A =
sh -c 'echo $S; exit 1'"""

# what is listed on the page, as a line and why
KNOWN = [
    (r"TOOL.* -L1 .*< (blanks|csv)", "a blank at the end of a line"),
    (r"-I (,,|%).*\{[-#1-9./]", "-I R stands for {} and its kin"),
    (r"^xargs.*-I.* -I|^xargs.*(-I|-i|--replace).*(-[nL]|--max-[al])|"
     r"^xargs.*(-[nL]|--max-[al]).*(-I|-i|--replace)|"
     r"^xargs.*(-L|--max-l).*(-n|--max-a)|^xargs.*(-n|--max-a).*(-L|--max-l)",
     "xargs takes the last of them"),
    (r"^xargs.*-E", "-E counts with -d, too"),
    (r"^xargs.*echo x\{\}y|^xargs.*(-I|-i|--replace)(?!.*(\{\}y|%))|"
     r"^xargs.*(-I ?%|=%)(?!.*a %)|^xargs.*(-I\{\}|-i|--replace )(?!.*\{\}y)",
     "COMMAND without R, {} without -I"),
    (r"^xargs(?!.* (-0|--null) ).*abc0", "a null byte is no part of a word"),
    (r"--pipe.* -d _", "-d says where the records of --pipe end, too"),
    (r"^parallel.* -N.* -n|^parallel.* -n.* -N", "the last one counts"),
    (r"--shuf.*--tag|--tag.*--shuf", "chance"),
]


def choices(text):
    """The items of a list."""
    return [item for line in text.strip().splitlines()
            for item in line.split("|")]


def parallels(rng):
    """A line for GNU parallel."""
    options = rng.sample(choices(OPTIONS), rng.choice((0, 1, 2, 2, 2, 3, 3)))
    if rng.random() < 0.7:
        options.insert(0, "-k")
    words, command = rng.choice(choices(INPUTS)), rng.choice(choices(COMMANDS))
    before, at, file = words.partition("<")
    if words.startswith("-"):
        options.append(before if at else words)
        words = at + file
    return " ".join(["parallel TOOL"] + options + [command, words])


def line(rng):
    """The program, and a line for it."""
    kind = rng.random()
    if kind < 0.7:
        return parallels(rng)
    if kind < 0.82:
        options = rng.sample(choices(PIPE_OPTIONS), rng.choice((0, 1, 2, 3)))
        return " ".join(
            ["parallel TOOL --pipe -k"] + options
            + [rng.choice(choices(PIPED)), "<", rng.choice(
                ("abc", "num", "csv", "blanks", "last", "empty", "tsv"))])
    options = rng.sample(choices(OF_XARGS), rng.choice((0, 1, 2, 2, 3)))
    return " ".join(
        ["xargs TOOL"] + options
        + [rng.choice(choices(XARGS_COMMANDS)), "<", rng.choice(
            ("abc", "num", "csv", "last", "paths", "blanks", "abc0"))])


def lines(seed, count):
    """So many, none twice and none that is known to differ."""
    rng, found = random.Random(seed), {}
    while len(found) < count:
        text = line(rng)
        if not any(re.search(known, text) for known, _ in KNOWN):
            found[text] = None
    return list(found)


def like(tool, command):
    """Theirs with the options that make it what ours always is: words stay
    words, a line is a word and a job."""
    if tool == "parallel":
        return command.replace("TOOL", "parallel -q", 1)
    more = ""
    if not re.search(r" (-0|-d|--null|--delim)", command):
        more += " -d '\\n'"
    if not re.search(r" (-[nLIil]|--max-args|--max-lines|--repl)", command):
        more += " -n1"
    return command.replace("TOOL", "xargs -r" + more, 1)


def outcome(command, folder, path):
    """(exit status, output, errors, {file: text}) of a line."""
    done = in_folder(command, folder, path, FILES, SECONDS)
    files = {}
    for file in folder.rglob("*"):
        name = str(file.relative_to(folder))
        if file.is_file() and name not in FILES and name[0] != ".":
            files[name] = file.read_text(errors="replace")
    if "log" in files:  # but for the times, and the order
        rows = [row.split("\t") for row in files["log"].splitlines()]
        files["log"] = "\n".join(sorted("\t".join(row[:2] + row[4:])
                                        for row in rows))
    return (*done, files)


def comparable(found, tool, command, exit_status):
    """What is to be the same."""
    code, output, _, files = found
    if re.search(r" (-v|--dry-run|--joblog) ", command):  # quoted otherwise
        output = re.sub(r"['\\]", "", output)
        files = {name: re.sub(r"['\\]", "", text)
                 for name, text in files.items()}
    if re.search(r"--lb", command) and output and output[-1] != "\n":
        output += "\n"
    jobs = re.findall(r" (?:-[jP] ?|--max-procs[ =])(\d)", command)
    if "--shuf" in command or " -k " not in command and jobs[-1:] != ["1"]:
        output = sorted(output.splitlines())
    if "--halt" in command or tool == "xargs" and code == 123:
        code = exit_status
    return code, output, files


def differs(numbered, folder, path):
    """None, or the line with both outcomes; refused: it was refused."""
    number, (tool, command) = numbered
    place = folder / str(number)
    ours = outcome(command.replace("TOOL", "xlchild"), place / "ours", path)
    if ours[0] == 255 and "xlchild: " in ours[2]:
        assert re.search("xlchild: .{20}", ours[2]), (command, ours)
        return "refused"
    theirs = outcome(like(tool, command), place / "theirs", path)
    if comparable(ours, tool, command, ours[0]) \
            == comparable(theirs, tool, command, ours[0]):
        return None
    if re.search("^xlchild: job ", ours[2], re.M) and ours[0]:
        return "refused"
    return command, theirs, ours


def compared(seed, count, folder):
    """All of them, two at a time: what differs, and how many are refused."""
    path = programs(folder)
    work = [text.split(" ", 1) for text in lines(seed, count)]
    with ThreadPoolExecutor(2) as executor:
        found = list(executor.map(
            lambda item: differs(item, folder, path), enumerate(work)))
    return ([each for each in found if each not in (None, "refused")],
            found.count("refused"))


def test_lines_of_chance_differ_in_nothing(tmp_path):
    different, refused = compared(20, 25, tmp_path)
    assert different == [] and refused <= 12


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_many_lines_of_chance_differ_in_nothing(tmp_path, seed):
    different, refused = compared(seed, 250, tmp_path)
    assert different == [] and refused <= 125
