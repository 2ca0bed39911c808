"""The hosts of the matrix: how each is built and run, and what is announced.

Read by driver.py (the cells) and page.py (docs/hosts.md). A host is a row; a new
one needs nothing else but its program, which keeps to README.md's protocol.
"""
from dataclasses import dataclass, field

OWNERS = ("libxl", "mainloop", "libxl_always", "libxl_always_selective_reap",
          "none")
ORDERS = ("before", "after")
REAP_ALL = ("libxl", "libxl_always")

REAPS_ALL = "the mode reaps every child, and nobody tells the host"

C = ("gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -pthread"
     " -o {build}/{name} {here}/programs/{source} {flags}")
PYTHON = "{python} {here}/programs/python_hosts.py "
XEN = ("gcc -std=gnu11 -O2 -g -Wall -Wextra -Werror -pthread"
       " -I{root}/c/include -o {build}/{name}")


@dataclass
class Host:
    """One row."""

    name: str
    group: str
    words: str  # what it does about its children, for the page
    run: str
    build: tuple = ()
    needs: tuple = ()  # commands, files, and pkg:NAME for pkg-config
    python: tuple = ()  # modules that it imports
    package: str = ""  # of Debian, for the skip's reason
    shim: str = "preload"  # or "linked"
    # Does its part of the treaty: passes statuses on in mainloop mode, and takes
    # those of its children that we reaped.
    passes: bool = False
    alone: str = "right"  # its own verdict without us
    stdin: str = ""
    how: str = "result"  # or "make", "xargs": where its statuses are read
    note: str = ""  # for the page
    losses: dict = field(default_factory=dict)  # owner -> reason, announced

    def announced(self, owner):
        """Why this host may lose statuses in this mode; None if it may not."""
        if owner in REAP_ALL and not self.passes:
            return REAPS_ALL
        return self.losses.get(owner)


def c_host(name, words, flags="", needs=(), package="", **more):
    """A host in C, linked with flags."""
    return Host(name, "C", words, "{build}/{name}",
                (C.replace("{source}", "{name}.c").replace("{flags}", flags),),
                ("gcc", *needs), package=package, **more)


def plain(habit, words, **more):
    """plain.c with one of its habits."""
    name = f"plain, {habit}" + (", passing" if more.get("passes") else "")
    return Host(name, "plain C", words,
                "{build}/plain " + habit,
                (C.replace("{name}", "plain").replace("{source}", "plain.c")
                 .replace("{flags}", ""),), ("gcc",), **more)


def python(way, words, modules=(), package="", **more):
    """One way of python_hosts.py."""
    return Host(f"Python, {way}", "Python", words, PYTHON + way,
                python=modules, package=package, **more)


def xen(name, words, link):
    """libxenlight and the core in one program, linked so."""
    return Host(f"libxenlight, {name}", "Xen", words, "{build}/xen-" + name,
                (XEN.replace("{name}", "xen-" + name) + " " + link,),
                ("gcc", "pkg:xenlight"), package="libxen-dev",
                shim="preload" if name == "plugin" else "linked")


XEN_HOST = "{here}/programs/xen.c"
XEN_LIBS = "-lxenlight -lxentoollog"
OURS = "{here}/shim.c"
ARCHIVE = "{root}/build/c/libxlchild.a"
SHARED = "-L{root}/build/c -Wl,-rpath,{root}/build/c -lxlchild"

HOSTS = [
    Host("bash", "shells", "`wait $pid`; its handler waits for whoever ends",
         "bash {here}/programs/shell.sh", needs=("bash",), package="bash"),
    Host("bash, trap CHLD", "shells", "foreground, `$(...)`, pipelines",
         "bash {here}/programs/trap.sh", needs=("bash",), package="bash",
         note="closes the pipes of each pipeline twice, and so, once in a while,"
         " a pidfd of ours that has just been given the number. That child"
         " goes by its pid then; where bash reaps it, its status is lost."),
    Host("dash", "shells", "`wait $pid`, by wait3()",
         "dash {here}/programs/shell.sh", needs=("dash",), package="dash"),
    Host("make -j", "shells", "wait(), and says which target failed how",
         "make -k -j8 -f {here}/programs/fifty.mk", needs=("make",),
         package="make", how="make"),
    Host("xargs -P", "shells", "waitpid(-1); tells only that one failed",
         "xargs -P8 -I N sh {here}/programs/step.sh N 7",
         needs=("xargs",), package="findutils", how="xargs",
         stdin="".join(f"{i}\n" for i in range(50))),
    Host("perl, $SIG{CHLD}", "languages", "waitpid(-1, WNOHANG) in the handler",
         "perl {here}/programs/reaper.pl", needs=("perl",), package="perl"),
    Host("perl, system", "languages", "system(), backquotes, waitpid",
         "perl {here}/programs/system.pl", needs=("perl",), package="perl"),
    Host("tclsh", "languages", "exec and pipelines",
         "tclsh {here}/programs/exec.tcl", needs=("tclsh",), package="tcl"),
    Host("Node", "languages", "child_process: libuv's handler, its own pids",
         "node {here}/programs/spawn.js", needs=("node",), package="nodejs"),
    Host("JVM", "languages", "ProcessBuilder: a reaper thread a child",
         "java -cp {build} -XX:+UseSerialGC -Xshare:auto Builder",
         ("javac -d {build} {here}/programs/Builder.java",),
         ("java", "javac"), package="default-jdk-headless"),
    Host("Go", "languages", "os/exec with cgo; callbacks on foreign threads",
         "{build}/osexec",
         ("env GOCACHE={build}/gocache GO111MODULE=off GOFLAGS="
          " go build -o {build}/osexec {here}/programs/osexec.go",),
         ("go", "gcc"), package="golang-go", passes=True),
    Host("Rust, std", "languages", "std::process",
         "{build}/command",
         ("{rustc} -O --edition 2021 -o {build}/command"
          " {here}/programs/command.rs",), ("{rustc}",), package="rustc"),
    Host("OCaml, Lwt", "languages", "Lwt_process: a handler, its own pids",
         "{build}/lwt",
         ("cp {here}/programs/lwt_host.ml {build}/lwt_host.ml",
          "ocamlfind ocamlopt -thread -package lwt.unix -linkpkg"
          " -o {build}/lwt {build}/lwt_host.ml"), ("ocamlfind",), package="liblwt-ocaml-dev"),
    python("subprocess", "Popen.wait: waitpid of its pid"),
    python("waitpid", "os.posix_spawn and os.waitpid"),
    python("multiprocessing", "Process.join, by fork"),
    python("asyncio-thread", "ThreadedChildWatcher"),
    python("asyncio-pidfd", "PidfdChildWatcher"),
    python("asyncio-safe", "SafeChildWatcher: a handler, its own pids"),
    python("asyncio-fast", "FastChildWatcher: a handler, waitpid(-1)"),
    python("asyncio-multi", "MultiLoopChildWatcher: a handler, its own pids",
           losses={owner: "a SIGCHLD of anybody's child while it registers one"
                   " of its own: its handler takes that twice, and reads 255"
                   for owner in OWNERS}),
    python("trio", "trio's open_process, by pidfd", ("trio",), "python3-trio"),
    python("uvloop", "libuv under asyncio", ("uvloop",), "python3-uvloop"),
    python("gevent", "gevent.subprocess: libev's child watchers",
           ("gevent",), "python3-gevent"),
    python("eventlet", "eventlet.green.subprocess: polls", ("eventlet",),
           "python3-eventlet"),
    python("glib", "GLib.child_watch_add by PyGObject", ("gi",), "python3-gi"),
    c_host("glib", "GLib: child watches, of their own pids",
           "$(pkg-config --cflags --libs glib-2.0)", ("pkg:glib-2.0",),
           "libglib2.0-dev"),
    c_host("uv", "libuv: uv_spawn", "$(pkg-config --cflags --libs libuv)",
           ("pkg:libuv",), "libuv1-dev"),
    c_host("ev", "libev: its default loop reaps everybody",
           "-fno-strict-aliasing -lev",
           ("/usr/include/ev.h",), "libev-dev"),
    c_host("ev, passing", "libev, with a watcher of pid 0 that passes on",
           "-fno-strict-aliasing -lev", ("/usr/include/ev.h",), "libev-dev",
           passes=True),
    c_host("event", "libevent: a signal event and waitpid(-1)",
           "$(pkg-config --cflags --libs libevent)", ("pkg:libevent",),
           "libevent-dev"),
    c_host("sdevent", "sd-event: SIGCHLD blocked, a source a child",
           "$(pkg-config --cflags --libs libsystemd)", ("pkg:libsystemd",),
           "libsystemd-dev"),
    Host("QProcess", "C", "Qt: QProcess and its finished signal",
         "{build}/qprocess",
         ("g++ -O2 -fPIC -Wall -Wextra -o {build}/qprocess"
          " {here}/programs/qprocess.cpp"
          " $(pkg-config --cflags --libs Qt5Core)",),
         ("g++", "pkg:Qt5Core"), package="qtbase5-dev"),
    plain("by-pid", "waitpid of each pid"),
    plain("ignored", "SIGCHLD ignored: the kernel keeps no status",
          alone="lost"),
    plain("no-cld-wait", "a handler with SA_NOCLDWAIT: no status is kept",
          alone="lost"),
    plain("reset-hand", "a handler with SA_RESETHAND"),
    plain("blocked", "SIGCHLD blocked in the main thread"),
    plain("handler-reaps", "a handler that reaps everybody"),
    plain("signalfd", "SIGCHLD blocked, a signalfd, and waitpid(-1)"),
    plain("waitid-thief", "a thread in waitid(P_ALL) that takes everybody"),
    plain("handler-reaps", "the same, and does its part", passes=True),
    plain("signalfd", "the same, and does its part", passes=True),
    plain("waitid-thief", "the same, and does its part", passes=True),
    xen("archive-first", "libxlchild.a before libxenlight",
        f"{OURS} {XEN_HOST} {ARCHIVE} {XEN_LIBS}"),
    xen("archive-last", "libxenlight before libxlchild.a",
        f"{OURS} {XEN_HOST} {XEN_LIBS} {ARCHIVE}"),
    xen("shared-first", "libxlchild.so before libxenlight",
        f"{OURS} {XEN_HOST} {SHARED} {XEN_LIBS}"),
    xen("shared-last", "libxenlight before libxlchild.so",
        f"{OURS} {XEN_HOST} {XEN_LIBS} {SHARED}"),
    xen("plugin", "libxlchild.a in a plugin, its names hidden",
        f"{XEN_HOST} {XEN_LIBS}"),
]
