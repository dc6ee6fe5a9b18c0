#!/bin/sh
# Installs the packages named as arguments, and collects in /bottle what starts an agent in a root that may have no tools.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
here=/tmp/build

# An extra CA of the build host, for package mirrors over https; empty when there is none.
if [ -s "$here/build-ca.crt" ]; then
    cat /etc/ssl/certs/ca-certificates.crt "$here/build-ca.crt" > "$here/trust.crt" 2> /dev/null || :
    printf 'Acquire::https::CAInfo "%s";\n' "$here/trust.crt" > /etc/apt/apt.conf.d/zz-build-ca
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@"

mkdir -m 755 /bottle
cp /bin/busybox /bottle/busybox
cp /etc/ssl/certs/ca-certificates.crt /bottle/system-roots.crt
