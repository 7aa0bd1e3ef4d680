#!/usr/bin/env bash
# The first table: emotion in noise, (a) emotion only, trained clean; (b) emotion only, trained in noise; (c) joint, cascade.
#
#   examples/cascade_table.sh DATA WORK RESULTS [ravdess] [emodb]
#
# DATA holds ravdess/, emodb/, librispeech/, picovoice/ and noise/{seen,unseen}/; WORK takes manifests and runs; RESULTS
# takes the JSON. Every command goes on where it stopped, so the script may be interrupted and run again. All rows start
# from one pre-trained encoder and take the same number of updates. Nothing learned has heard a test speaker.
# With one corpus a core after the pre-training it takes about an hour on two cores.
set -euo pipefail
data=$1 work=$2 results=$3
shift 3
recipes=$(dirname "$0")/recipes
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
mkdir -p "$work" "$results"

sertool corpus ravdess "$data/ravdess" --folds 6 --fold 0 -o "$work/ravdess.csv"
sertool corpus emodb "$data/emodb" -o "$work/emodb.csv"
sertool corpus folder "$data/librispeech/train-clean-100" -o "$work/librispeech.csv"
sertool corpus folder "$data/picovoice" -o "$work/picovoice.csv"

sertool pretrain "$work"/{ravdess,emodb,librispeech,picovoice}.csv --task denoise --noise "$data/noise/seen" \
    --recipe "$recipes/denoise.yaml" -o "$work/denoise"

for corpus in "$@"; do
    recipe=$recipes/$corpus.yaml
    train() { sertool train "$work/$corpus.csv" --recipe "$recipe" --encoder "$work/denoise" --schedule cascade "$@"; }
    train --task emotion -o "$work/$corpus-clean"
    train --task emotion --noise "$data/noise/seen" -o "$work/$corpus-noise"
    train --task emotion --task enhancement --noise "$data/noise/seen" -o "$work/$corpus-joint"
    for row in clean noise joint; do
        [ -e "$results/$corpus-$row.json" ] ||
            sertool evaluate "$work/$corpus.csv" --model "$work/$corpus-$row" --noise "$data/noise/unseen" --unseen-noise \
            --snr clean --snr 20 --snr 10 --snr 5 --snr 0 --snr -5 -o "$results/$corpus-$row.json"
    done
done
