#!/bin/sh
# What both images are made of: MRtrix3, Lacuna, and the few files of TemplateFlow that it uses.
# usage: install.sh SOURCE     as root, in Debian; SOURCE holds pyproject.toml, README.md, LICENSE, lacuna, singularity
set -eu
source=$1

export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends ca-certificates mrtrix3 python3 python3-venv >/dev/null
rm -rf /var/lib/apt/lists/*

python3 -m venv /opt/lacuna
/opt/lacuna/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check "$source"
cp "$source/singularity/test.sh" /opt/lacuna/
ln -s /opt/lacuna/bin/lacuna /opt/lacuna/bin/lacuna-snm /usr/local/bin/

/opt/lacuna/bin/python "$source/singularity/templates.py" /opt/templateflow "$source/singularity/templateflow"

# whoever runs the image may read all of it, whatever the permissions of the checkout were
chmod -R a+rX /opt
