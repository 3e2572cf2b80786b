#!/bin/sh
# Debian ships `venv` in a package of its own: install it where it is missing, and make the environment.
# usage: install-venv.sh PYTHON FOLDER
set -e
rm -rf "$2"
version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
sudo=''
[ "$(id -u)" = 0 ] || sudo='sudo -n'
echo "installing python$version-venv (apt-get) ..."
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "python$version-venv" >/dev/null
exec "$1" -m venv "$2"
