#!/usr/bin/python3
# first_weights: seeded starting weights for a network of convolutions, in darknet's file format, because
# darknet itself seeds its generator with the clock.
#   first_weights.py CFG OUT [--seed 2026]
# SPDX-License-Identifier: Apache-2.0
import argparse

import numpy as np


def read_layers(path):
    layers = []
    for line in open(path):
        line = line.split("#")[0].strip()
        if line.startswith("["):
            layers.append({"kind": line})
        elif "=" in line:
            key, value = line.split("=", 1)
            layers[-1][key.strip()] = value.strip()
    return layers


def main():
    options = argparse.ArgumentParser()
    options.add_argument("cfg")
    options.add_argument("out")
    options.add_argument("--seed", type=int, default=2026)
    args = options.parse_args()
    rng = np.random.default_rng(args.seed)
    layers = read_layers(args.cfg)
    depth = int(layers[0]["channels"])
    with open(args.out, "wb") as out:
        np.array([0, 2, 0], np.int32).tofile(out)  # version of the format
        np.array([0], np.int64).tofile(out)  # pictures seen
        for layer in layers:
            if layer["kind"] != "[convolutional]":
                continue
            filters, size = int(layer["filters"]), int(layer["size"])
            np.zeros(filters, np.float32).tofile(out)  # biases
            if layer.get("batch_normalize") == "1":
                np.ones(filters, np.float32).tofile(out)  # scales
                np.zeros(filters, np.float32).tofile(out)  # rolling means
                np.ones(filters, np.float32).tofile(out)  # rolling variances
            scale = np.sqrt(2.0 / (size * size * depth))
            kernel = rng.normal(0.0, scale, filters * depth * size * size)
            kernel.astype(np.float32).tofile(out)
            depth = filters


if __name__ == "__main__":
    main()
