#!/bin/sh
# First process of a sidecar: waits for its material as a tar on stdin, then becomes the command in the arguments.
# Material goes into the memory-backed directories that the entries name; without it nothing starts.
set -eu
umask 077
tar -x -p --no-same-owner -C / -f -

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
exec "$@" < /dev/null
