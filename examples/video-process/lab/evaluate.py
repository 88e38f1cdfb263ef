#!/usr/bin/python3
# evaluate: compares the detector's JSON files with the truth. A found object is right when its class is
# right and its box overlaps a true box, taken once, by half or more (intersection over union).
#   evaluate.py RESULTS TRUTH.json [--fps 1]     results of a video: NAME-00001.json is its first picture
#   evaluate.py RESULTS DATASET                  results of a data set's held-out pictures
# Prints one JSON line: pictures, true, found, right, precision, recall.
# SPDX-License-Identifier: Apache-2.0
import argparse
import glob
import json
import os

NAMES = ["disc", "square", "triangle"]


def overlap(a, b):
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return w * h / (a[2] * a[3] + b[2] * b[3] - w * h) if w > 0 and h > 0 else 0.0


def count_right(found, true):
    left = list(true)
    right = 0
    for one in sorted(found, key=lambda o: -o["score"]):
        fits = [t for t in left if t["class"] == one["class"] and overlap(t["box"], one["box"]) >= 0.5]
        if fits:
            left.remove(max(fits, key=lambda t: overlap(t["box"], one["box"])))
            right += 1
    return right


def truth_of_video(path, fps):
    with open(path) as text:
        truth = json.load(text)
    step = truth["fps"] / fps

    def look_up(result):
        number = int(os.path.splitext(result["file"])[0].rsplit("-", 1)[1])
        return truth["frames"][round((number - 1) * step)]

    return look_up


def truth_of_dataset(path):
    def look_up(result):
        true = []
        with open(os.path.join(path, "labels", os.path.splitext(result["file"])[0] + ".txt")) as labels:
            for line in labels:
                kind, x, y, w, h = (float(v) for v in line.split())
                width, height = result["width"], result["height"]
                box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
                true.append({"class": NAMES[int(kind)], "box": box})
        return true

    return look_up


def main():
    options = argparse.ArgumentParser()
    options.add_argument("results")
    options.add_argument("truth")
    options.add_argument("--fps", type=float, default=1)
    args = options.parse_args()
    look_up = truth_of_dataset(args.truth) if os.path.isdir(args.truth) else truth_of_video(args.truth, args.fps)
    pictures = true = found = right = 0
    for path in sorted(glob.glob(os.path.join(args.results, "*.json"))):
        with open(path) as text:
            result = json.load(text)
        if "objects" not in result or result.get("detector") != "shapes":
            continue
        truth = look_up(result)
        pictures += 1
        true += len(truth)
        found += len(result["objects"])
        right += count_right(result["objects"], truth)
    print(json.dumps({
        "pictures": pictures, "true": true, "found": found, "right": right,
        "precision": round(right / found, 3) if found else None,
        "recall": round(right / true, 3) if true else None,
    }))  # fmt: skip


main()
