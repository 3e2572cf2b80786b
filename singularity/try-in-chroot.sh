#!/bin/sh
# Build and test the image of lacuna.def without a container engine: its sections are run in a chroot with Debian's
# packages, and the result is used as Apptainer would use it: read-only, by a user without a home.
#   singularity/try-in-chroot.sh FOLDER     as root; the package debootstrap is needed; some minutes
# FOLDER keeps the downloaded packages (packages/) and the results of the runs (results/); the rest is removed.
# Debian's mirror is that of the machine, so are pip's index and certificates. TEMPLATEFLOW_HOME, if it is a folder, is
# where the templates of the image are taken from.
set -eu
unset LACUNA_CACHE_DIR

fail() {
    echo "try-in-chroot: $*" >&2
    exit 1
}

# ---- outside: a namespace of its own for all mounts and processes, so that nothing of them can be left behind
if [ "${1-}" != --inside ]; then
    [ $# = 1 ] || fail 'usage: try-in-chroot.sh FOLDER'
    [ "$(id -u)" = 0 ] || fail 'has to be run as root'
    command -v debootstrap >/dev/null || fail 'debootstrap is not installed'
    mkdir -p "$1"
    folder=$(realpath "$1")
    rm -rf --one-file-system "$folder/root" "$folder/results"
    trap 'kill -9 $! 2>/dev/null || true; wait; rm -rf --one-file-system "$folder/root"' EXIT
    trap 'exit 130' HUP INT TERM
    unshare --mount --propagation private --pid --fork --kill-child "$(realpath "$0")" --inside "$folder" &
    wait $! && code=0 || code=$?
    exit $code
fi

# ---- inside
folder=$2
root=$folder/root
checkout=$(realpath "$(dirname "$0")/..")
definition=$checkout/singularity/lacuna.def

section() { # the lines of a section of the definition
    awk -v name="%$1" '/^%/ { inside = ($1 == name); next } inside' "$definition"
}
step() {
    echo "== $* ($(($(date +%s) - started)) s)"
}
started=$(date +%s)

release=$(sed -n 's/^From: debian:\([a-z]*\).*/\1/p' "$definition")
mirror=$(apt-get indextargets --format '$(REPO_URI)' \
    'Identifier: Packages' "Release: $release" 'Component: main' 'Origin: Debian' | head -n 1)
[ -n "$mirror" ] || fail "apt's sources on this machine name no mirror of Debian $release"

step "Debian $release"
mkdir -p "$folder/packages" "$folder/results"
export DPKG_FORCE=unsafe-io # as in the images of Debian: nobody needs this folder after a power cut
debootstrap --variant=minbase --cache-dir="$folder/packages" "$release" "$root" "$mirror" >"$folder/debootstrap.log" 2>&1 ||
    fail "debootstrap failed; see $folder/debootstrap.log"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

step '%files'
section files | while read -r source target; do
    [ -n "$source" ] || continue
    mkdir -p "$root$(dirname "$target")"
    cp -fLr "$checkout/$source" "$root$target"
done
if [ -d "${TEMPLATEFLOW_HOME:-}" ]; then
    cp -Lr "$TEMPLATEFLOW_HOME" "$root/opt/source/singularity/templateflow"
fi

step '%post'
# pip's settings of this machine: the index, and the certificates by which it is known
pip_setting() {
    python3 -m pip config get "global.$1" 2>/dev/null || true
}
certificates=${PIP_CERT:-$(pip_setting cert)}
certificates=${certificates:-/etc/ssl/certs/ca-certificates.crt}
index=${PIP_INDEX_URL:-$(pip_setting index-url)}
set -- env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root "DPKG_FORCE=$DPKG_FORCE"
[ -z "$index" ] || set -- "$@" "PIP_INDEX_URL=$index"
if [ -f "$certificates" ]; then
    cp "$certificates" "$root/run/certificates.crt"
    set -- "$@" PIP_CERT=/run/certificates.crt
fi
for name in http_proxy https_proxy no_proxy; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || set -- "$@" "$name=$value"
done
section post >"$root/run/post.sh"
chroot "$root" "$@" /bin/sh -e /run/post.sh

# ---- as Apptainer shows an image: read-only, but for /tmp and the folders that are bound
for name in environment test runscript; do
    section $name >"$root/run/$name.sh"
done
mkdir "$root/data" "$root/results"
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

run() { # run USER SECTION ARGUMENTS...: as this number of a user, without a home, in an empty environment
    user=$1 name=$2
    shift 2
    chroot --userspec="$user:$user" "$root" env -i PATH=/usr/local/bin:/usr/bin:/bin \
        ${LACUNA_CACHE_DIR:+"LACUNA_CACHE_DIR=$LACUNA_CACHE_DIR"} \
        /bin/sh -ec ". /run/environment.sh; cd /tmp; exec /bin/sh -e /run/$name.sh \"\$@\"" sh "$@"
}

step '%test, as root'
run 0 test

step '%runscript, as a user that the image does not know'
user=12345
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp" # nothing that root has left
mkdir "$root/tmp/data"
set -- env -i PATH=/usr/local/bin:/usr/bin:/bin
chroot "$root" "$@" lacuna tutorial /tmp/data >/dev/null
mkdir "$root/tmp/data/cache" # for all: one that Lacuna makes is private
chroot "$root" "$@" LACUNA_CACHE_DIR=/tmp/data/cache lacuna index /tmp/data/sourcedata/connectome/synthetic20k.tck
mount --bind "$root/tmp/data" "$root/data"
mount -o remount,bind,ro "$root/data"
chown "$user" "$folder/results"
mount --bind "$folder/results" "$root/results"
parcels=/data/sourcedata/parcellation/synthetic100_space-MNI152NLin6Asym
run $user runscript /data /results/derivatives participant -w /results/work --engine index \
    --connectome-path /data/sourcedata/connectome/synthetic20k.tck \
    --custom-parcellation synthetic100 "${parcels}_dseg.nii.gz" "${parcels}_dseg.tsv" MNI152NLin6Asym \
    --compute-roi-disconnection --compute-disconnectivity-matrix
run $user runscript /data /results/derivatives group

step 'a cache that is filled and read-only'
export LACUNA_CACHE_DIR=/data/cache
run $user runscript /data /results/again participant -w /results/work --no-report \
    --connectome-path /data/sourcedata/connectome/synthetic20k.tck

du -shx "$root" | sed 's/\t.*/ in the image/'
step 'done'
