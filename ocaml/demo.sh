# demo.sh - runs the example daemon, crashes a worker, stops the daemon
#
# Called by `make demo-ocaml` and `make check-ocaml` with dune's output folder.
# Shows the daemon's log as it comes and reacts to it; ends with 0 if every
# line that has to come came, the daemon ended with 0, and nothing is left.
set -eu
daemon=$1/examples/daemon.exe
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkfifo "$work/log"

timeout 60 "$daemon" > "$work/log" &
timeout_pid=$!
exec 3< "$work/log"

fail() {
    echo "demo: $*" >&2
    kill "$timeout_pid" 2> "$work/ignored" || :
    exit 1
}

# Reads the log up to a line with this text; leaves it in $line.
await() {
    while read -r line <&3; do
        printf "  %s\n" "$line"
        printf "%s\n" "$line" >> "$work/seen"
        case $line in *"$1"*) return ;; esac
    done
    fail "the log ended before: $1"
}

# A pid that is a number above 1 and a child of $2 (or no child asked for).
checked_pid() {
    case $1 in '' | *[!0-9]*) fail "not a pid: $1" ;; esac
    [ "$1" -gt 1 ] || fail "not a pid: $1"
    parent=$(awk '/^PPid:/ { print $2 }' "/proc/$1/status") ||
        fail "no process: $1"
    [ "$parent" = "$2" ] || fail "$1 is not a child of $2"
}

echo "a daemon with ten workers:"
await "daemon ready"
daemon_pid=${line##*pid }
while [ "$(grep -c '^worker-[0-9]* started' "$work/seen")" -lt 10 ]; do
    await " started, pid"
done
checked_pid "$daemon_pid" "$timeout_pid"

victim=$(sed -n 's/^worker-4 started, pid //p' "$work/seen")
checked_pid "$victim" "$daemon_pid"
echo "crashing worker-4:"
kill -KILL "$victim"
await "hook post-start"
grep -q "^worker-4 crashed, pid $victim: signal 9" "$work/seen" ||
    await "worker-4 crashed, pid $victim: signal 9"
[ "$(grep -c '^worker-4 started' "$work/seen")" -eq 2 ] ||
    await "worker-4 started"

echo "SIGTERM to the daemon:"
checked_pid "$daemon_pid" "$timeout_pid"
kill -TERM "$daemon_pid"
await "done: 11 started, 1 crashed, 10 stopped, 0 left"
code=0
wait "$timeout_pid" || code=$?
[ "$code" -eq 0 ] || fail "the daemon ended with $code"

for expected in 'hook pre-start: exit code 0, said "prepared' \
    'hook failing: exit code 3, said "no such device' \
    'hook stuck took too long: signal 9' \
    'hook post-start: exit code 0, said "all is well'; do
    grep -qF "$expected" "$work/seen" || fail "no line: $expected"
done
[ "$(grep -c '^worker-[0-9]* stopped: signal 15' "$work/seen")" -eq 10 ] ||
    fail "not ten workers stopped by SIGTERM"
for pid in $(sed -n 's/^worker-.* started, pid //p' "$work/seen"); do
    [ ! -e "/proc/$pid" ] || fail "worker $pid is left"
done
echo "demo: as it has to be"
