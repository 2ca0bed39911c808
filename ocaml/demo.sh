# demo.sh - runs the example daemon, kills it, runs it again, stops it
#
# Called by `make demo-ocaml` and `make check-ocaml` with dune's output folder.
# Shows the daemon's log as it comes and reacts to it; ends with 0 if every
# line that has to come came, the daemon ended with 0, and nothing is left.
set -eu
daemon=$1/examples/daemon.exe
work=$(mktemp -d)
mkfifo "$work/log"
# What this script started and may end, whatever happens.
trap end_all EXIT

end_all() {
    for pid in ${timeout_pid:-} ${daemon_pid:-}; do
        kill "$pid" 2> "$work/ignored" || :
    done
    for pid in $(workers); do
        is_worker "$pid" && kill "$pid" 2> "$work/ignored" || :
    done
    rm -rf "$work"
}

fail() {
    echo "demo: $*" >&2
    exit 1
}

# Of a number above 1 that is a worker's pid: whether it still is.
is_worker() {
    cat "/proc/$1/environ" 2> "$work/ignored" | tr '\0' '\n' |
        grep -q '^XLCHILD_SERVICE=.*/worker-'
}

workers() {
    [ ! -e "$work/seen" ] ||
        sed -n 's/^worker-[0-9]* started, pid \([0-9]*\)$/\1/p' "$work/seen"
}

# The pid of worker $1: the last that was told.
worker() {
    pid=$(sed -n "s/^worker-$1 [a-z]*, pid \([0-9]*\)\$/\1/p" "$work/seen" |
        tail -n 1)
    case $pid in '' | *[!0-9]*) fail "not a pid: $pid" ;; esac
    [ "$pid" -gt 1 ] && is_worker "$pid" || fail "no worker: $pid"
    echo "$pid"
}

# Reads the log up to a line with this text.
await() {
    while read -r line <&3; do
        printf "  %s\n" "$line"
        printf "%s\n" "$line" >> "$work/seen"
        case $line in *"$1"*) return ;; esac
    done
    fail "the log ended before: $1"
}

# Whether the line was there, or comes.
await_line() {
    grep -qF "$1" "$work/seen" || await "$1"
}

run_daemon() {
    timeout 60 "$daemon" "$work/state" > "$work/log" &
    timeout_pid=$!
    exec 3< "$work/log"
    await "daemon ready"
    daemon_pid=${line##*pid }
    case $daemon_pid in '' | *[!0-9]*) fail "not a pid: $daemon_pid" ;; esac
    [ "$daemon_pid" -gt 1 ] || fail "not a pid: $daemon_pid"
    parent=$(awk '/^PPid:/ { print $2 }' "/proc/$daemon_pid/status")
    [ "$parent" = "$timeout_pid" ] || fail "$daemon_pid is another's child"
}

# Sends a signal to the daemon, and waits for its end.
end_daemon() {
    kill "-$1" "$daemon_pid"
    while read -r line <&3; do
        printf "  %s\n" "$line"
        printf "%s\n" "$line" >> "$work/seen"
    done
    code=0
    wait "$timeout_pid" 2> "$work/ignored" || code=$?
    timeout_pid='' daemon_pid=''
}

echo "a daemon with ten workers:"
run_daemon
[ "$(workers | wc -l)" -eq 10 ] || fail "not ten workers"

echo "worker-4 is killed:"
victim=$(worker 4)
kill -KILL "$victim"
await_line "worker-4 ended by itself, pid $victim: signal 9"
while [ "$(grep -c '^worker-4 started' "$work/seen")" -lt 2 ]; do
    await "worker-4 started"
done
await_line "hook post-start"

echo "the daemon itself is killed; then worker-7, which nobody watches:"
kept=$(worker 2)
end_daemon KILL
victim=$(worker 7)
kill -KILL "$victim"
while is_worker "$victim"; do :; done

echo "the daemon's next life:"
run_daemon
# How it ended is lost, unless init has not reaped it yet.
await_line "worker-7 ended by itself, pid $victim: "
[ "$(grep -c '^worker-[0-9]* adopted' "$work/seen")" -ge 9 ] ||
    fail "not nine workers adopted"
[ "$(worker 2)" = "$kept" ] || fail "worker-2 is another one"
await_line "worker-7 started"
while [ "$(grep -c '^hook post-start' "$work/seen")" -lt 2 ]; do
    await "hook post-start"
done

echo "worker-2, which was adopted, is killed:"
kill -KILL "$kept"
await_line "worker-2 ended by itself, pid $kept: "
await "worker-2 started"

echo "SIGTERM to the daemon:"
end_daemon TERM
[ "$code" -eq 0 ] || fail "the daemon ended with $code"
for expected in 'hook pre-start: exit code 0, said "prepared' \
    'hook failing: exit code 3, said "no such device' \
    'hook stuck took too long: signal 9' \
    'hook post-start: exit code 0, said "all is well' \
    'done: 2 started,' ' 2 died, 10 stopped, 0 left'; do
    grep -qF "$expected" "$work/seen" || fail "no line: $expected"
done
[ "$(grep -c '^worker-[0-9]* stopped, pid' "$work/seen")" -eq 10 ] ||
    fail "not ten workers stopped"
for pid in $(workers); do
    ! is_worker "$pid" || fail "worker $pid is left"
done
echo "demo: as it has to be"
