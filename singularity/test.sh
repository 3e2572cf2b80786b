#!/bin/sh
# What an image has to be able to do: the demo, with both engines, and the results compared.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
lacuna tutorial tutorial
parcels=tutorial/sourcedata/parcellation/synthetic100_space-MNI152NLin6Asym
map_lesions() { # map_lesions OUTPUT_DIR OPTIONS...
    lacuna-snm tutorial "$@" participant \
        --connectome-path tutorial/sourcedata/connectome/synthetic20k.tck \
        --custom-parcellation synthetic100 "${parcels}_dseg.nii.gz" "${parcels}_dseg.tsv" MNI152NLin6Asym \
        --compute-roi-disconnection --compute-disconnectivity-matrix
}
map_lesions index --engine index
lacuna-snm tutorial index group
map_lesions mrtrix --engine mrtrix --no-report

test -s index/group.html
for label in 01 02 03; do
    test -s "index/sub-$label.html"
done
tables=$(cd index && find sub-* -name '*.tsv')
test "$(echo "$tables" | wc -l)" -eq 24 # four matrices, three tables, and the bundles of the streamlines in the report
for table in $(echo "$tables" | grep -v figures); do
    cmp "index/$table" "mrtrix/$table"
done
echo 'the image works'
