#!/bin/sh
# First process of a sidecar: waits for its material as a tar on stdin, then runs the command in the arguments.
# Material goes into the memory-backed directories that the entries name; without it nothing starts.
# Before the tar comes one line: its length, and `held` when stdin stays open for as long as somebody writes the audit.
set -eu
umask 077
read -r length held
head -c "$length" | tar -x -p --no-same-owner -C / -f -

# What upstreams may chain to: the image's roots, and what the host adds.
if [ -n "${BOTTLEGEN_TRUST:-}" ]; then
    cat /etc/ssl/certs/ca-certificates.crt "${BOTTLEGEN_TRUST%/*}/extra-ca.pem" > "$BOTTLEGEN_TRUST"
fi

# Says "ready" when the port listens (state 0A in the kernel's table), without a connection that the audit log would show.
port=$(printf '%04X' "$BOTTLEGEN_PORT")
watch() {
    tries=0
    until grep -qs ":$port [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6; do
        tries=$((tries + 1))
        [ "$tries" -lt 3000 ] || exit 0
        sleep 0.02
    done
    echo 'bottlegen: ready' >&2
}
# The watcher is a grandchild: init adopts it, and the command has no child that it does not know.
(watch < /dev/null > /dev/null &)
[ "$held" = held ] || exec "$@" < /dev/null

# Who holds stdin writes the audit: when it is let go, the command ends at once. This process stays, so that whoever
# calls is refused, and need not wait for a host that no longer answers.
# A killed engine leaves stdin open, so whoever holds it writes a line every 5 seconds, and 15 without one, twice in a row,
# end the command as well. Twice for the sake of clocks: on a host that sleeps, the one that is waited by stands still, but
# a virtual machine's may run on. When that wakes both sides are late, and the second wait gives the writer its turn.
# bash, which is in every base that has apt: its `read` knows a limit, and no line costs a process.
exec 3<&0 < /dev/null
closed=
trap 'closed=yes; kill -KILL "$command"' USR1
trap 'kill -TERM "$command"' TERM
"$@" 3<&- &
command=$!
(bash -c 'while read -rt 15 || read -rt 15; do :; done' <&3; kill -USR1 $$) > /dev/null 2>&1 &
exec 3<&-
while kill -0 "$command" 2> /dev/null; do
    status=0
    wait "$command" || status=$?
done
[ -z "$closed" ] || { echo 'bottlegen: nobody writes the audit: the way out is closed' >&2; exec sleep 2147483647; }
exit "$status"
