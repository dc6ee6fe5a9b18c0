#!/bin/sh
# Installs the packages named as arguments, hardens the tree, and collects every file that differs from the base in /delta.
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
rm -f /etc/ssh/ssh_host_*

# The system's trust store becomes what the bottle's entry script joins in memory: system roots and the bottle's CA.
mkdir -p /usr/share/bottle /usr/libexec/bottle /workspace /home/agent /run/bottle
cp /etc/ssl/certs/ca-certificates.crt /usr/share/bottle/system-roots.crt
ln -sf /run/bottle/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt
# OpenSSL's default file (OPENSSLDIR/cert.pem), for programs that know neither the variable nor Debian's path.
ln -sf /run/bottle/ca-bundle.crt /usr/lib/ssl/cert.pem

# The agent runs under the uid of the workspace's owner, known only at start: the entry script writes its line.
cp /etc/passwd /usr/share/bottle/passwd
cp /etc/group /usr/share/bottle/group
ln -sf /run/bottle/passwd /etc/passwd
ln -sf /run/bottle/group /etc/group

find / -xdev \( -path /proc -o -path /sys -o -path /dev \) -prune -o -type f -perm /6000 -exec chmod u-s,g-s {} +

find / \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /delta -o -path /var/log \
    -o -path /var/cache -o -path /etc/hosts -o -path /etc/hostname -o -path /etc/resolv.conf -o -path /.dockerenv \) \
    -prune -o ! -path / -cnewer "$stamp" \( -type f -o -type l -o -type d \) -print0 > "$here/changed"
mkdir /delta
tar -c -C / --no-recursion --null -T "$here/changed" -f - | tar -x -C /delta -f -
rm -rf "$here"
