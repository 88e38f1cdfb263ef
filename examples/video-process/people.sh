#!/bin/sh
# people: finds upright people in one picture with OpenCV's HOG detector, whose numbers come with OpenCV.
# Leaves the picture with boxes drawn and a JSON file of the same form as detect.sh. Needs python3-opencv.
# SPDX-License-Identifier: Apache-2.0
export OPENBLAS_NUM_THREADS=1
/usr/bin/python3 -I - <<'PYTHON'
import json, os, time

import cv2

WIDTH = 640  # people of 60 to 480 pixels of this width are found
THRESHOLD = float(os.environ.get("THRESHOLD", "0.5"))


def main():
    cv2.setNumThreads(1)
    start = time.perf_counter()
    path, out = os.environ["INPUT_FILE_PATH"], os.environ["TMP_OUTPUT_DIR"]
    name = os.path.splitext(os.path.basename(path))[0]
    picture = cv2.imread(path)
    if picture is None:
        raise SystemExit(f"{os.path.basename(path)} is not a picture")
    height, width = picture.shape[:2]
    scale = WIDTH / width
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    large = cv2.resize(picture, (WIDTH, round(height * scale)))
    boxes, scores = hog.detectMultiScale(large, winStride=(8, 8), padding=(8, 8), scale=1.1)
    objects = []
    for box, score in zip(boxes, scores):
        if score < THRESHOLD:
            continue
        x, y, w, h = (round(float(v) / scale, 1) for v in box)
        objects.append({"class": "person", "score": round(float(score), 3), "box": [x, y, w, h]})
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), (0, 200, 255), 3)
    cv2.imwrite(os.path.join(out, name + ".jpg"), picture)
    with open(os.path.join(out, name + ".json"), "w") as text:
        json.dump({"file": os.path.basename(path), "width": width, "height": height, "detector": "people",
                   "seconds": round(time.perf_counter() - start, 3), "objects": objects}, text)  # fmt: skip
    print(f"{name}: {len(objects)} people")


main()
PYTHON
