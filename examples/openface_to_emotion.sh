#!/usr/bin/env bash
# From OpenFace's files to a model of emotion: an encoder learns to hear what faces did, and then emotion in noise.
#
#   examples/openface_to_emotion.sh CORPUS FACES NOISE WORK
#
# CORPUS holds RAVDESS's audio; NOISE holds seen/ and unseen/, with a folder a kind in each; WORK takes the manifest, the
# runs and the scores. FACES holds what OpenFace 2 makes of the videos of the same clips, one CSV a clip:
#
#   for video in VIDEOS/Actor_*/01-01-*.mp4; do FeatureExtraction -f "$video" -out_dir FACES -2Dfp -aus; done
#
# A clip finds its face by its name without the first field, the modality: 03-01-05-01-02-01-12.wav is heard where
# 01-01-05-01-02-01-12.csv is seen. Clips without a face still teach energy, and are counted. FACES may also be a table
# with a row a clip (clip, AU01_r, AU01_c ...); such a table has no landmarks, so the task `activation` is left out.
#
# What each target is worth (its classes, what gives it away) stands in WORK/pretrained/targets.json. Further flags go
# to the commands by the variables PRETRAIN, TRAIN and EVALUATE, as in TRAIN="--epochs 5 --set emotion.dropout=0.5".
# Every command goes on where it stopped, so the script may be interrupted and run again.
set -euo pipefail
if [ $# -ne 4 ]; then
    echo "usage: $0 CORPUS FACES NOISE WORK" >&2
    exit 2
fi
corpus=$1 faces=$2 noise=$3 work=$4
recipes=$(dirname "$0")/recipes
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
mkdir -p "$work"
set -f # flags are split into words below, and their [lists] are no patterns of file names

activation=
if [ -d "$faces" ]; then
    activation="--task activation"
fi

# The actors of fold 0 are kept for the test: pre-training does not hear the split `test` either.
sertool corpus ravdess "$corpus" --folds 6 --fold 0 -o "$work/ravdess.csv"

sertool pretrain "$work/ravdess.csv" --task energy $activation --task action-units --faces "$faces" \
    --noise "$noise/seen" --recipe "$recipes/pretext.yaml" ${PRETRAIN:-} -o "$work/pretrained"

sertool train "$work/ravdess.csv" --task emotion --encoder "$work/pretrained" \
    --noise "$noise/seen" --recipe "$recipes/ravdess.yaml" ${TRAIN:-} -o "$work/run"

if [ -e "$work/scores.json" ]; then
    echo "$work/scores.json: the scores are there already; remove it to evaluate anew" >&2
    exit
fi
sertool evaluate "$work/ravdess.csv" --model "$work/run" --noise "$noise/unseen" --unseen-noise \
    --snr clean --snr 0 ${EVALUATE:-} -o "$work/scores.json"
