#!/bin/sh
# train: makes the data set, trains the network with Debian's darknet and packs it into ../detect.sh.
# Five to ten minutes of one core. usage: train.sh WORKDIR [SEED]
# The seed fixes pictures and starting weights; darknet draws its batches by the clock, so another run
# ends with slightly different weights of the same quality (see ../README.md).
# SPDX-License-Identifier: Apache-2.0
set -eu
work=${1:?usage: train.sh WORKDIR [SEED]}
seed=${2:-2026}
lab=$(cd "$(dirname "$0")" && pwd)

mkdir -p "$work"
work=$(cd "$work" && pwd)
"$lab/make_dataset.py" "$work" --seed "$seed"
sed -e 's/^batch=1$/batch=16/' "$lab/shapes.cfg" > "$work/shapes.cfg"
"$lab/first_weights.py" "$work/shapes.cfg" "$work/first.weights" --seed "$seed"
darknet detector train "$work/shapes.data" "$work/shapes.cfg" "$work/first.weights" > "$work/train.log"
"$lab/pack.py" "$lab/../detect.sh" "$work/backup/shapes_final.weights" "$lab/shapes.cfg"
