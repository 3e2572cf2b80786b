#!/bin/sh
# Whether this commit can be released: nothing uncommitted, a tag that the changelog knows, and a wheel that works for somebody
# who has nothing else. usage: release-check.sh PYTHON DIST [--untagged]
set -eu
python=$1 dist=$2 untagged=${3:-}
cd "$(dirname "$0")/.."

fail() { echo "release-check: $*" >&2; exit 1; }

if [ "$untagged" != --untagged ]; then
  [ -z "$(git status --porcelain)" ] || fail 'there are uncommitted changes'
  tag=$(git describe --exact-match --tags HEAD 2>/dev/null) || fail 'this commit has no tag'
  grep -q "^## ${tag#v} (20" CHANGELOG.md || fail "CHANGELOG.md has no section '## ${tag#v} (DATE)'"
  grep -q "^version: ${tag#v}$" CITATION.cff || fail "CITATION.cff is of another version than ${tag#v}"
  ls "$dist/lacuna_lnm-${tag#v}-"*.whl >/dev/null || fail "the wheel in $dist is of another version than ${tag#v}"
fi

wheel=$(echo "$(cd "$dist" && pwd)"/*.whl)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"

cd "$folder" # away from the checkout
export LACUNA_CACHE_DIR="$folder/cache"
export PATH="$folder/venv/bin:$PATH"
lacuna --version
lacuna tutorial tutorial >/dev/null
lacuna run snm tutorial derivatives --connectome-path tutorial/sourcedata/connectome/synthetic20k.tck
lacuna check derivatives >/dev/null
lacuna collect derivatives
for command in stats explore; do lacuna "$command" --help >/dev/null; done
python - <<'END'
from pathlib import Path
import lacuna

tractogram = lacuna.Tractogram('tutorial/sourcedata/connectome/synthetic20k.tck')
mask = sorted(Path('tutorial').rglob('*_mask.nii.gz'))[0]
lesion = tractogram.disconnect(mask)
told = [found for found in lacuna.load_results('derivatives') if found.summary == lesion.summary]
assert len(told) == 1, 'the results of the command are not those of Python'
END
echo 'release-check: passed'
