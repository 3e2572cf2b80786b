#!/bin/sh
# What an image has to be able to do: the demo, with both engines, and the results compared.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
lacuna tutorial tutorial
parcels=tutorial/parcellation/synthetic100_space-MNI152NLin6Asym
for engine in index mrtrix; do
    lacuna-snm tutorial/bids "$engine" participant --engine "$engine" \
        --connectome-path tutorial/connectome/synthetic20k.tck \
        --custom-parcellation synthetic100 "${parcels}_dseg.nii.gz" "${parcels}_dseg.tsv" MNI152NLin6Asym \
        --compute-roi-disconnection --compute-disconnectivity-matrix
    lacuna-snm tutorial/bids "$engine" group
    for label in 01 02 03; do
        test -s "$engine/sub-$label.html"
        test "$(find "$engine/sub-$label" -name '*_desc-disconnectionpct.nii.gz' -size +1k | wc -l)" -eq 1
    done
    test -s "$engine/group.html"
done
for table in $(cd index && find . -name '*_connmatrix.tsv' -o -name '*_parcelstats.tsv'); do
    cmp "index/$table" "mrtrix/$table"
done
echo 'the image works'
