#!/bin/sh
# Makes sure that Java and ZooKeeper are on this machine: installs Debian's packages if it may, and
# says what to install if it may not. `install.sh curator` adds Curator, for the benches.
set -eu

jars=/usr/share/java
needed="$jars/zookeeper.jar $jars/slf4j-simple.jar"
packages="default-jre-headless libzookeeper-java"
if [ "${1:-}" = curator ]; then
    # Its driver has to be compiled.
    needed="$needed $jars/curator-recipes.jar"
    packages="default-jdk-headless libzookeeper-java libcurator-recipes-java"
fi

missing() {
    command -v java >/dev/null || return 0
    [ "${1:-}" != curator ] || command -v javac >/dev/null || return 0
    for file in $needed; do
        [ -e "$file" ] || return 0
    done
    return 1
}

missing "$@" || exit 0

if ! command -v apt-get >/dev/null; then
    echo "ZooKeeper's tests need $needed and Java 11 or later, and there is no apt-get to install them" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n env"
else
    echo "ZooKeeper's tests need Java and ZooKeeper: run" >&2
    echo "  sudo apt-get install --no-install-recommends $packages" >&2
    exit 1
fi

install() {
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $packages
}
# A fresh machine has no lists of packages, an old one has stale ones.
install || { $as_root apt-get update --quiet && install; }
if missing "$@"; then
    echo "$packages are installed, and still some of java, $needed is missing" >&2
    exit 1
fi
