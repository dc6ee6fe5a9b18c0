#!/bin/sh
# Installs the packages named as arguments, takes setuid bits away, and collects every file that differs from the base in /delta.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
here=/tmp/build
stamp=$here/stamp
touch "$stamp"

# An extra CA of the build host, for package mirrors over https; empty when there is none.
if [ -s "$here/build-ca.crt" ]; then
    cat /etc/ssl/certs/ca-certificates.crt "$here/build-ca.crt" > "$here/trust.crt" 2> /dev/null || :
    printf 'Acquire::https::CAInfo "%s";\n' "$here/trust.crt" > /etc/apt/apt.conf.d/zz-build-ca
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"
apt-get clean
rm -rf /etc/apt/apt.conf.d/zz-build-ca /var/lib/apt/lists/* /var/cache/debconf/*-old /var/lib/dpkg/*-old

find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o -type f -perm /6000 -exec chmod u-s,g-s {} +

find / \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /delta -o -path /var/log \
    -o -path /var/cache -o -path /etc/hosts -o -path /etc/hostname -o -path /etc/resolv.conf -o -path /.dockerenv \) \
    -prune -o ! -path / -cnewer "$stamp" \( -type f -o -type l -o -type d \) -print0 > "$here/changed"
mkdir /delta
tar -c -C / --no-recursion --null -T "$here/changed" -f - | tar -x -C /delta -f -
rm -rf "$here"
