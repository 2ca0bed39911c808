# shell.sh - a script that starts fifty children in the background, and waits
# for each by its number. Run by bash and by dash; see ../README.md.
"$XLHOST_CHILD" exit 0 & # what the shell sets up late is set up
wait $!
echo go >"$XLHOST_GO"
i=0
pids=
while [ $i -lt 50 ]; do
    "$XLHOST_CHILD" sleep-ms $((i % 16)) exit $((101 + i)) &
    pids="$pids $!"
    i=$((i + 1))
done
i=0
for pid in $pids; do
    wait "$pid"
    echo "$i $?" >>"$XLHOST_RESULT"
    i=$((i + 1))
done
echo done >"$XLHOST_GO"
read -r word <"$XLHOST_END"
exit 0
