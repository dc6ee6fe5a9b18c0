#!/bin/sh
# Reads a tar whose entries are the files named as arguments plus ".new", and renames each into place.
set -eu
umask 077
tar -x -p --no-same-owner -C / -f -
for path in "$@"; do
    mv -fT -- "$path.new" "$path"
done
