#!/bin/sh
# video-split: turns the uploaded video into pictures, FPS of them a second (default 1).
# Names are VIDEO-00001.jpg and so on; the first picture is the first frame.
set -eu
fps=${FPS:-1}
name=$(basename "$INPUT_FILE_PATH")
name=${name%.*}

# -nostdin: the job's standard input is the event, which is not for ffmpeg.
ffmpeg -nostdin -loglevel error -threads 1 -i "$INPUT_FILE_PATH" \
	-vf "select='isnan(prev_selected_t)+gte(t-prev_selected_t+0.001,1/$fps)'" \
	-fps_mode vfr -q:v 2 "$TMP_OUTPUT_DIR/$name-%05d.jpg"
echo "$name: $(ls "$TMP_OUTPUT_DIR" | wc -l) pictures at $fps a second"
