#!/usr/bin/env bash
# The ICASSP 2025 system on MSP-Podcast, its baselines, and the ablation of unfreezing; everything goes on where it stopped.
#
#   examples/icassp2025.sh MSP_PODCAST TRAIN_NOISE TEST_NOISE WORK
#
# Not run at full size here (see recipes/icassp2025.yaml for what is the paper's and what ours). LAUNCH may say how to
# start a training, such as LAUNCH="torchrun --nproc-per-node 8 -m sertool", and RECIPE name another recipe. The folder with
# the encoder that the recipe names is looked for in the working folder.
set -euo pipefail
corpus=$1 train_noise=$2 test_noise=$3 work=$4
recipes=$(cd "$(dirname "$0")/recipes" && pwd)
recipe=${RECIPE:-$recipes/icassp2025.yaml}
launch=${LAUNCH:-sertool}
mkdir -p "$work"
[ -f "$work/msp.csv" ] || sertool corpus msp-podcast "$corpus" -o "$work/msp.csv"
train() { $launch train "$work/msp.csv" --recipe "$recipe" "$@"; }
noisy=(--noise "$train_noise")

# The system, and what is unfrozen when: nothing, everything at once, heads and then everything, the cascade.
train "${noisy[@]}" --schedule cascade -o "$work/cascade"
train "${noisy[@]}" --adapt frozen -o "$work/frozen"
train "${noisy[@]}" --schedule at-once -o "$work/at-once"
train "${noisy[@]}" --schedule heads-then-all -o "$work/heads-then-all"

# Baselines: (a) emotion alone, trained on clean speech; (b) in noise; (c) a separate enhancement in front of (a).
train --task emotion --schedule heads-then-all -o "$work/a-clean"
train "${noisy[@]}" --task emotion --schedule heads-then-all -o "$work/b-noise"
train "${noisy[@]}" --task enhancement --schedule heads-then-all -o "$work/c-enhancement"

snrs=(--snr clean --snr 10 --snr 5 --snr 0 --snr -5)
for run in cascade frozen at-once heads-then-all a-clean b-noise; do
    sertool evaluate "$work/msp.csv" --model "$work/$run" --noise "$test_noise" --unseen-noise "${snrs[@]}" \
        -o "$work/$run.json"
done

# (c): the test split mixed once, enhanced, and heard by (a).
for snr in 10 5 0 -5; do
    mixed=$work/test-$snr
    [ -f "$mixed/metadata.csv" ] || sertool mix-noise "$work/msp.csv" --split test --noise "$test_noise" --snr="$snr" -o "$mixed"
    sertool enhance "$mixed" --model "$work/c-enhancement" -o "$mixed-enhanced" --skip-existing
    cp "$mixed/metadata.csv" "$mixed-enhanced/metadata.csv"
    sertool evaluate "$mixed-enhanced/metadata.csv" --model "$work/a-clean" -o "$work/c-enhanced-$snr.json"
done
