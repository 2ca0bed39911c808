# trap.sh - bash with a trap for CHLD: children in the foreground, in command
# substitutions and in pipelines. See ../README.md.
ended=0
trap 'ended=$((ended + 1))' CHLD
"$XLHOST_CHILD" exit 0
echo go >"$XLHOST_GO"
i=0
while [ $i -lt 48 ]; do
    "$XLHOST_CHILD" sleep-ms $((i % 16)) exit $((101 + i))
    echo "$i $?" >>"$XLHOST_RESULT"
    word=$("$XLHOST_CHILD" say hello exit $((102 + i)))
    echo "$((i + 1)) $?" >>"$XLHOST_RESULT"
    "$XLHOST_CHILD" exit $((103 + i)) | "$XLHOST_CHILD" count exit $((104 + i)) >/dev/null
    codes="${PIPESTATUS[0]} ${PIPESTATUS[1]}"
    echo "$((i + 2)) ${codes% *}" >>"$XLHOST_RESULT"
    echo "$((i + 3)) ${codes#* }" >>"$XLHOST_RESULT"
    i=$((i + 4))
done
for i in 48 49; do
    ("$XLHOST_CHILD" exit $((101 + i)); exit $?)
    echo "$i $?" >>"$XLHOST_RESULT"
done
echo done >"$XLHOST_GO"
read -r word <"$XLHOST_END"
exit 0
