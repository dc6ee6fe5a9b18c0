#!/usr/libexec/bottle/busybox sh
# First process of the agent: fills /run/bottle (memory), waits at the gate, then becomes the agent's command.
# Every tool is the busybox beside this file: the root around it is the user's, and may have none.
set -eu
umask 022
own=/usr/libexec/bottle
tool=$own/busybox
material=/run/bottle
uid=$($tool id -u)
gid=$($tool id -g)

# Programs such as git, ssh and node want a name for the uid.
printf 'root:x:0:0::/root:/bin/sh\nagent:x:%s:%s::%s:/bin/sh\n' "$uid" "$gid" "$HOME" > "$material/passwd"
printf 'root:x:0:\nagent:x:%s:\n' "$gid" > "$material/group"

# Opening the gate is a line in this pipe: place.sh writes it when all material is there.
$tool mkfifo -m 600 "$material/gate"
read -r word < "$material/gate"
$tool rm -f "$material/gate"
[ "$word" = open ]

$tool cat "$own/system-roots.crt" > "$material/ca-bundle.crt"
if [ -e "$material/ca.crt" ]; then
    $tool cat "$material/ca.crt" >> "$material/ca-bundle.crt"
fi
exec "$@"
