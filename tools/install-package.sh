#!/bin/sh
# Install a Debian package with apt where that is possible; never fails, but says what follows without it.
#   tools/install-package.sh PACKAGE 'WHAT FOLLOWS' COMMAND...     any of the commands, or of the libraries (lib*.so),
#                                                                  shows that it is there
package=$1 without=$2
shift 2
is_here() {
    for each in "$@"; do
        command -v "$each" >/dev/null && return 0
        case $each in lib*) PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null | grep -q "^[[:space:]]*$each" && return 0 ;; esac
    done
    return 1
}
is_here "$@" && exit 0
sudo=''
[ "$(id -u)" = 0 ] || sudo='sudo -n'
if command -v apt-get >/dev/null && { [ -z "$sudo" ] || sudo -n true 2>/dev/null; }; then
    echo "installing $package (apt-get) ..."
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
fi
is_here "$@" || echo "$package is not here and could not be installed: $without"
exit 0
