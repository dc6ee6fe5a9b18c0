#!/usr/libexec/bottle/busybox sh
# Reads a tar whose entries are the files named as arguments plus ".new", and renames each into place.
# With --open first, the gate that holds the agent is opened afterwards.
set -eu
umask 077
tool=/usr/libexec/bottle/busybox
gate=
if [ "${1-}" = --open ]; then
    gate=/run/bottle/gate
    shift
fi
for path in "$@"; do
    $tool mkdir -p "${path%/*}"
done
if [ "$#" -gt 0 ]; then
    # For who is not root, this tar takes the umask off the modes that it is told; folders are there already.
    (umask 0 && $tool tar -x -o -C / -f -)
fi
for path in "$@"; do
    $tool mv -fT -- "$path.new" "$path"
done
if [ -n "$gate" ]; then
    # The entry script may be a moment behind; 15 seconds cover a loaded machine.
    tries=0
    while [ ! -p "$gate" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1500 ]
        $tool sleep 0.01
    done
    echo open > "$gate"
fi
