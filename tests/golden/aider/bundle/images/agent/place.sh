#!/bin/sh
# Reads a tar whose entries are the files named as arguments plus ".new", and renames each into place.
# With --open first, the gate that holds the agent is opened afterwards.
set -eu
umask 077
gate=
if [ "${1-}" = --open ]; then
    gate=/run/bottle/gate
    shift
fi
if [ "$#" -gt 0 ]; then
    tar -x -p --no-same-owner -C / -f -
fi
for path in "$@"; do
    mv -fT -- "$path.new" "$path"
done
if [ -n "$gate" ]; then
    # The entry script may be a moment behind; 15 seconds cover a loaded machine.
    tries=0
    while [ ! -p "$gate" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 1500 ]
        sleep 0.01
    done
    echo open > "$gate"
fi
