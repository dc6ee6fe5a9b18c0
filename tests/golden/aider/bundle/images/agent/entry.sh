#!/bin/sh
# First process of the agent: fills /run/bottle (memory), waits at the gate, then becomes the agent's command.
set -eu
umask 022
material=/run/bottle
uid=$(id -u)
gid=$(id -g)

# Programs such as git, ssh and node want a name for the uid; one that the base gave it is put aside.
{
    grep -v -e "^[^:]*:[^:]*:$uid:" -e '^agent:' /usr/share/bottle/passwd || :
    printf 'agent:x:%s:%s::%s:/bin/bash\n' "$uid" "$gid" "$HOME"
} > "$material/passwd"
{
    grep -v -e "^[^:]*:[^:]*:$gid:" -e '^agent:' /usr/share/bottle/group || :
    printf 'agent:x:%s:\n' "$gid"
} > "$material/group"

# Opening the gate is a line in this pipe: place.sh writes it when all material is there.
mkfifo -m 600 "$material/gate"
read -r word < "$material/gate"
rm -f "$material/gate"
[ "$word" = open ]

cat /usr/share/bottle/system-roots.crt > "$material/ca-bundle.crt"
if [ -e "$material/ca.crt" ]; then
    cat "$material/ca.crt" >> "$material/ca-bundle.crt"
fi
exec "$@"
