# step.sh - child number $1 of xargs's or make's, which ends with $2
[ "$1" != 0 ] || echo go >"$XLHOST_GO"
exec "$XLHOST_CHILD" sleep-ms $(($1 % 16)) exit "$2"
