#!/usr/bin/python3
# pack: puts trained weights into detect.sh, below its line "# MODEL"; or takes them out again.
#   pack.py DETECT.SH WEIGHTS CFG      folds batch normalisation into the kernels, half precision, base64
# SPDX-License-Identifier: Apache-2.0
import base64
import sys
import textwrap

import numpy as np

from first_weights import read_layers

EPSILON = 0.000001  # as darknet adds it to a deviation
MARK = "\n# MODEL\n"


def read_weights(path, cfg):
    """For each convolution its biases and kernel, with batch normalisation folded in."""
    numbers = np.fromfile(path, np.float32, offset=20)
    layers = read_layers(cfg)
    depth, at, out = int(layers[0]["channels"]), 0, []

    def take(count):
        nonlocal at
        at += count
        return numbers[at - count : at]

    for layer in layers:
        if layer["kind"] != "[convolutional]":
            continue
        filters, size = int(layer["filters"]), int(layer["size"])
        bias = take(filters)
        scale = np.ones(filters, np.float32)
        if layer.get("batch_normalize") == "1":
            scales, means, variances = take(filters), take(filters), take(filters)
            scale = scales / (np.sqrt(variances) + EPSILON)
            bias = bias - means * scale
        kernel = take(filters * depth * size * size).reshape(filters, -1) * scale[:, None]
        out += [bias, kernel.ravel()]
        depth = filters
    if at != len(numbers):
        raise SystemExit(f"{path}: {len(numbers)} numbers, the network wants {at}")
    return np.concatenate(out)


def main():
    script, weights, cfg = sys.argv[1:]
    data = base64.b64encode(read_weights(weights, cfg).astype(np.float16).tobytes()).decode()
    with open(script) as text:
        head = text.read().split(MARK, 1)[0]
    with open(script, "w") as text:
        text.write(head + MARK + "".join(f"# {line}\n" for line in textwrap.wrap(data, 100)))


main()
