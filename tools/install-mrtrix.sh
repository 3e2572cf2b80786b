#!/bin/sh
# Install MRtrix3 with apt where that is possible; never fails, but says what follows without it.
sudo=''
[ "$(id -u)" = 0 ] || sudo='sudo -n'
if command -v apt-get >/dev/null && { [ -z "$sudo" ] || sudo -n true 2>/dev/null; }; then
    echo 'installing MRtrix3 (apt-get) ...'
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mrtrix3 >/dev/null
fi
command -v tckedit >/dev/null ||
    echo 'MRtrix3 is not here and could not be installed: --engine mrtrix will not run, and its tests are skipped.'
exit 0
