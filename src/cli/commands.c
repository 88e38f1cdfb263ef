// commands: the table of all commands, their options and examples: what `--help`, completion and the manual are made of.
// SPDX-License-Identifier: Apache-2.0
#include "cli/private.h"

static const struct cli_option wait_options[] = {
	{ 'w', "wait", NULL, "until all jobs that follow from it have ended" },
	{ 0, "timeout", "TIME", "with --wait: give up after 90s, 5m, 2h" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option apply_options[] = {
	{ 'c', "cluster", "ID", "only the services under this cluster id" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option call_options[] = {
	{ 'f', "file-input", "FILE", "send this file (- = standard input)" },
	{ 'i', "text-input", "TEXT", "send this text" },
	{ 't', "token", "TOKEN", "the service's token instead of a login" },
	{ 'o', "output", "FILE", "run: where the result goes (else standard output)" },
	{ 'w', "wait", NULL, "job: until it has ended" },
	{ 0, "timeout", "TIME", "give up after 90s, 5m, 2h" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option outputs_options[] = {
	{ 0, "stale", NULL, "only those of another script, image or input version than today's" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option get_options[] = {
	{ 0, "latest", NULL, "the newest object of the prefix" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option shell_options[] = {
	{ 'T', "no-terminal", NULL, "pipes even when this is a terminal" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option jobs_options[] = {
	{ 's', "service", "NAME", "jobs of this service" },
	{ 0, "state", "STATE",
	  "queued, staging, running, uploading, succeeded, failed, cancelled, dead" },
	{ 'r', "run", "ID", "jobs of this run (all that follows from one upload)" },
	{ 'n', "limit", "N", "at most so many (default 100)" },
	{ 0, "summary", NULL, "counts by state" },
	{ 0, "timeout", "TIME", "of wait: give up after 90s, 5m, 2h" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option backfill_options[] = {
	{ 0, "prefix", "TEXT", "of names below the input's folder" },
	{ 0, "glob", "PATTERN", "of these names; * matches / too" },
	{ 0, "since", "TIME", "written since then (2026-01-31T12:00:00Z)" },
	{ 0, "changed", NULL, "not what succeeded with the same script, image and version" },
	{ 'n', "limit", "N", "at most so many jobs" },
	{ 0, "sample", "N",
	  "run the first N (up to 100), count the rest, and tell what it would take" },
	{ 'w', "wait", NULL, "until all of them are queued" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option many_options[] = {
	{ 's', "service", "NAME", "all of this service" },
	{ 'r', "run", "ID", "all of this run" },
	{ 0, "all", NULL, "all there are" },
	{ 0, "queued", NULL, "cancel: only what has not begun" },
	{ 0, "state", "STATE", "redrive: failed, dead or cancelled (else failed and dead)" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option logs_options[] = {
	{ 'f', "follow", NULL,
	  "go on while the job runs; of a service also with the jobs to come" },
	{ 0, "stream", "stdout|stderr", "only this one" },
	{ 't', "timestamps", NULL, "the time in front of each line" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option events_options[] = {
	{ 0, "after", "ID", "what came after this event" },
	{ 'n', "limit", "N", "end after so many" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option pull_options[] = {
	{ 0, "name", "NAME:TAG", "what to call it here; else as the reference says" },
	{ 0 },
};
static const struct cli_option append_options[] = {
	{ 'f', "file", "SRC:DST", "a file or folder and its place in the image; may be repeated" },
	{ 0, "entrypoint", "WORD", "the new image's entry point; once a word" },
	{ 0, "insecure-registry", "HOST", "ask it by plain HTTP; may be repeated" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option build_options[] = {
	{ 't', "tag", "NAME:TAG", "what to call it here" },
	{ 'f', "recipe", "FILE", "the Dockerfile, when it is not DIR's" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option prune_options[] = {
	{ 0, "untagged", NULL, "manifests without a tag as well" },
	{ 0, "now", NULL, "also what was asked for within the last hour" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option user_options[] = {
	{ 0, "s3-key", "KEY", "access key of its own for S3" },
	{ 0, "s3-secret", "SECRET", "the key's secret; - reads it from standard input" },
	{ 0, "email", "ADDRESS", "names the user in S3 grants by e-mail" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option bucket_options[] = {
	{ 0, "directory", "PATH", "serve what lies below this directory of the server, in place" },
	{ 0, "complete", "HOW",
	  "when a file becomes an object: closed (default), stable, sentinel" },
	{ 0, "stable", "TIME", "unchanged for so long (default 5s)" },
	{ 0, "sentinel", "END", "when FILE and this lies beside FILE (default .done)" },
	{ 0, "interval", "TIME", "all is looked at again after (default 60s)" },
	{ 0, "no-watch", NULL, "by looking alone, without inotify" },
	{ 0, "outputs", NULL, "services may put files there" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option queue_options[] = {
	{ 0, "after", "ID", "what came after this event" },
	{ 'n', "limit", "N", "at most so many (default 100)" },
	{ 0, "wait", "TIME", "when there is none, wait for one, at most 60s" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option limits_options[] = {
	{ 0, "running", "N", "jobs at once (0 = no bound, here and below)" },
	{ 0, "queued", "N", "jobs in the queue; more are refused" },
	{ 0, "cpu", "N", "cores that its running jobs asked for" },
	{ 0, "memory", "SIZE", "memory that its running jobs asked for" },
	{ 0, "weight", "N", "share of the machine beside other users (1 to 1000)" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option import_options[] = {
	{ 0, "conda", NULL, "the archive is an environment that conda-pack made" },
	{ 0, "base", "IMAGE", "the image here that it is put on top of" },
	{ 0, "prefix", "DIR", "where it lies in the image (default /opt/env)" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option map_options[] = {
	{ 0, "image", "IMAGE", "host (this machine's programs) or an imported image" },
	{ 's', "script", "FILE", "runs once a file: $INPUT_FILE_PATH in, $TMP_OUTPUT_DIR out" },
	{ 0, "cpu", "N", "cores a job (default 1)" },
	{ 0, "memory", "SIZE", "memory a job (default 512Mi)" },
	{ 0, "job-timeout", "TIME", "a job may run so long" },
	{ 'e', "env", "NAME=VALUE", "a variable of the script; may be repeated" },
	{ 0, "network", NULL, "let the script use the network" },
	{ 0, "timeout", "TIME", "give up after 90s, 5m, 2h" },
	{ 0, "keep", NULL, "leave service, data and server as they are" },
	{ 0, NULL, NULL, NULL },
};

static const struct cli_option local_options[] = {
	{ 0, "local", NULL, "on a server of the command's own, gone when it ends" },
	{ 0, "service", "NAME", "the service that takes the files (default: the first that can)" },
	{ 0, "output-dir", "DIR", "where the results go (default results)" },
	{ 0, "import", "IMAGE=FILE",
	  "an image from a file, as `oscar image import` takes it; may be repeated" },
	{ 0, "mount", "NAME=/FOLDER", "a folder for the services' `mounts`; may be repeated" },
	{ 0, "cdi-dir", "DIR",
	  "specifications of devices (default /etc/cdi and /var/run/cdi); may be repeated" },
	{ 0, "timeout", "TIME", "give up after 90s, 5m, 2h" },
	{ 0, "keep", NULL, "leave the server's data where it is" },
	{ 0, "shell", NULL,
	  "then a shell in the sandbox of the first job that failed, else of the first" },
	{ 0, NULL, NULL, NULL },
};

const struct cli_command cli_commands[] = {
	{ "map", NULL, "IN_DIR OUT_DIR", 2, 2, "run a script on every file of a folder",
	  "  oscar map --image host --script count.sh texts/ counts/\n"
	  "  oscar map --image tools:1 --script convert.sh -e QUALITY=90 photos/ small/\n",
	  map_options, cli_map },
	{ "apply", NULL, "FILE", 1, 1, "create or update the services of an FDL file",
	  "  oscar apply video-process.yaml\n", apply_options, cli_apply },
	{ "delete", NULL, "FILE", 1, 1, "remove the services of an FDL file",
	  "  oscar delete video-process.yaml\n", apply_options, cli_delete },
	{ "fdl check", NULL, "FILE", 1, 1, "look for faults in an FDL file, without a server",
	  "  oscar fdl check video-process.yaml\n", NULL, cli_fdl_check },
	{ "service list", "service ls", "", 0, 0, "services", "  oscar service list -o json\n",
	  NULL, cli_service_list },
	{ "service get", NULL, "NAME", 1, 1, "one service, as YAML",
	  "  oscar service get detect\n  oscar service get detect -o json\n", NULL,
	  cli_service_get },
	{ "service deployment", NULL, "NAME", 1, 1,
	  "how a service comes to its image, or its servers are: what is going on, what has been",
	  "  oscar service deployment detect\n", NULL, cli_service_deployment },
	{ "service remove", "service delete|service rm", "NAME…", 1, -1, "remove services",
	  "  oscar service remove detect people\n", NULL, cli_service_remove },
	{ "service run", NULL, "NAME", 1, 1, "call a service and print its result",
	  "  oscar service run cowsay -i hello\n  oscar service run resize -f in.jpg -o out.jpg\n",
	  call_options, cli_service_run },
	{ "service job", NULL, "NAME", 1, 1, "queue a job of a service",
	  "  oscar service job cowsay -i hello\n  oscar service job cowsay -f event.json --wait\n",
	  call_options, cli_service_job },
	{ "service outputs", NULL, "NAME", 1, 1,
	  "what it made that is there, and what would come out otherwise today",
	  "  oscar service outputs --stale detect\n", outputs_options, cli_service_outputs },
	{ "service pause", NULL, "NAME…", 1, -1, "start no more jobs; events are queued", NULL,
	  NULL, cli_service_pause },
	{ "service drain", NULL, "NAME…", 1, -1, "work off what is queued now, then pause",
	  "  oscar service drain --wait detect\n", wait_options, cli_service_drain },
	{ "service resume", NULL, "NAME…", 1, -1, "start jobs again", NULL, NULL,
	  cli_service_resume },
	{ "service stop", NULL, "NAME…", 1, -1, "end the servers of exposed services", NULL, NULL,
	  cli_service_stop },
	{ "service start", NULL, "NAME…", 1, -1, "let their servers run again", NULL, NULL,
	  cli_service_start },
	{ "service restart", NULL, "NAME…", 1, -1, "put new servers in the place of those that run",
	  NULL, NULL, cli_service_restart },
	{ "service queue", NULL, "NAME", 1, 1, "how long a service's queue is, and its limits",
	  NULL, NULL, cli_service_queue },
	{ "service usage", NULL, "NAME", 1, 1,
	  "what its jobs really take, and better requests for them", NULL, NULL,
	  cli_service_usage },
	{ "put-file", "service put-file", "SERVICE FILE [PATH]", 2, 4,
	  "upload a file to a service's input",
	  "  oscar put-file video-split holiday.mp4\n"
	  "  oscar put-file --wait video-split holiday.mp4 demo-videos/in/trip.mp4\n",
	  wait_options, cli_put_file },
	{ "get-file", "service get-file", "SERVICE [PATH] TO", 2, 4,
	  "download results: one object, or all below PATH/",
	  "  oscar get-file detect results/                # all of its first output\n"
	  "  oscar get-file detect demo-results/shapes/v-00001.json .\n",
	  get_options, cli_get_file },
	{ "list-files", "service list-files", "SERVICE [PATH]", 1, 3,
	  "objects of a service's output (or below PATH)",
	  "  oscar list-files detect\n  oscar list-files detect demo-frames/in\n", NULL,
	  cli_list_files },
	{ "delete-file", "service delete-file", "SERVICE PATH", 2, 3, "delete one object",
	  "  oscar delete-file detect demo-results/shapes/v-00001.json\n", NULL, cli_delete_file },
	{ "jobs list", "jobs", "", 0, 0, "jobs, newest first",
	  "  oscar jobs --state failed\n  oscar jobs --summary -o json\n", jobs_options,
	  cli_jobs_list },
	{ "jobs get", NULL, "JOB", 1, 1, "one job: attempts, outputs, reasons", NULL, NULL,
	  cli_jobs_get },
	{ "jobs cancel", NULL, "[JOB…]", 0, -1, "end jobs, those of a run, or a service's queue",
	  "  oscar jobs cancel --run 4711\n  oscar jobs cancel --service detect --queued\n",
	  many_options, cli_jobs_cancel },
	{ "jobs redrive", NULL, "[JOB…]", 0, -1, "run failed and dead jobs again",
	  "  oscar jobs redrive --service detect --state dead\n", many_options, cli_jobs_redrive },
	{ "jobs rerun", NULL, "JOB…", 1, -1,
	  "new jobs with the revision, image and input of jobs that are over",
	  "  oscar jobs rerun --wait detect-01a2290f-0328-7580-a2ee-2d506227ec18\n", wait_options,
	  cli_jobs_rerun },
	{ "jobs shell", "job shell", "JOB [-- COMMAND…]", 1, -1,
	  "a shell in the sandbox of a job that is over, with its input",
	  "  oscar job shell detect-01a2290f-0328-7580-a2ee-2d506227ec18\n"
	  "  oscar job shell JOB -- sh /oscar/config/script.sh\n"
	  "  oscar job shell JOB -- tar c /oscar/input | tar t\n"
	  "What is written there is not stored; the exit status is that of the shell or command.\n",
	  shell_options, cli_jobs_shell },
	{ "jobs wait", NULL, "", 0, 0, "until no job (of a service, of a run) is left",
	  "  oscar jobs wait --service detect --timeout 10m\n", jobs_options, cli_jobs_wait },
	{ "backfill", "service backfill", "SERVICE", 1, 1,
	  "run a service over objects that are there",
	  "  oscar backfill detect --sample 5\n"
	  "  oscar backfill detect --prefix 2026/ --changed --wait\n",
	  backfill_options, cli_backfill },
	{ "run", NULL, "FDL FILE…", 2, -1,
	  "try services on files, in the sandbox, without a server",
	  "  oscar run --local detect.yaml photo.jpg\n"
	  "  oscar run --local --import lab/tools:1=tools.tar --output-dir out chain.yaml *.mp4\n",
	  local_options, cli_local },
	{ "run show", NULL, "RUN|JOB|TRACE", 1, 1,
	  "what followed from one upload: inputs, jobs, outputs", "  oscar run show 4711\n", NULL,
	  cli_run_show },
	{ "logs", "service logs", "SERVICE|JOB", 1, 1,
	  "a job's log; of a service, its newest job's", "  oscar logs -f detect\n", logs_options,
	  cli_logs },
	{ "events", NULL, "", 0, 0, "follow what happens on the server", "  oscar events -o json\n",
	  events_options, cli_events },
	{ "bucket list", "bucket ls", "", 0, 0, "buckets", NULL, NULL, cli_bucket_list },
	{ "bucket add", NULL, "NAME", 1, 1, "make a bucket, or serve a directory as one",
	  "  oscar bucket add photos\n"
	  "  oscar bucket add archive --directory /srv/archive --complete sentinel\n",
	  bucket_options, cli_bucket_add },
	{ "bucket remove", "bucket rm|bucket delete", "NAME", 1, 1,
	  "remove an empty bucket, or stop serving a directory, whose files stay", NULL, NULL,
	  cli_bucket_remove },
	{ "target list", "target ls", "", 0, 0, "targets of bucket notifications", NULL, NULL,
	  cli_target_list },
	{ "target set", NULL, "KIND NAME KEY=VALUE…", 2, -1,
	  "make or change a target: webhook, nats or queue",
	  "  oscar target set webhook lab endpoint=https://lab.example/hook auth_token=-\n"
	  "  oscar target set nats bus address=127.0.0.1:4222 subject=files\n"
	  "  oscar target set queue mine users=ana,ben\n",
	  NULL, cli_target_set },
	{ "target remove", "target rm|target delete", "KIND NAME", 2, 2,
	  "remove a target with its events", NULL, NULL, cli_target_remove },
	{ "target dead", NULL, "KIND NAME", 2, 2, "events that could not be delivered", NULL, NULL,
	  cli_target_dead },
	{ "target redrive", NULL, "KIND NAME [ID]", 2, 3, "send dead events again", NULL, NULL,
	  cli_target_redrive },
	{ "target drop", NULL, "KIND NAME [ID]", 2, 3, "forget dead events", NULL, NULL,
	  cli_target_drop },
	{ "queue read", NULL, "NAME", 1, 1, "events of a queue, one a line",
	  "  oscar queue read mine --wait 30s\n", queue_options, cli_queue_read },
	{ "queue take", NULL, "NAME ID", 2, 2, "remove the events up to this one", NULL, NULL,
	  cli_queue_take },
	{ "image import", NULL, "FILE|DIR|- NAME:TAG", 2, 2,
	  "make an image of what docker save wrote, an OCI layout, a root file system, a SIF or "
	  "conda-pack's archive",
	  "  docker save lab/tools:1 | oscar image import - lab/tools:1\n"
	  "  oscar image import rootfs.tar tools:1\n"
	  "  oscar image import env.tar.gz lab/env:1 --conda --base debian:12\n",
	  import_options, cli_image_import },
	{ "image pull", NULL, "REFERENCE", 1, 1, "fetch an image from a registry",
	  "  oscar image pull python:3.12-slim\n"
	  "  oscar image pull --name tools:1 ghcr.io/lab/tools@sha256:…\n",
	  pull_options, cli_image_pull },
	{ "image push", NULL, "NAME:TAG [REFERENCE]", 1, 2, "send an image to a registry",
	  "  oscar image push lab/tools:1 ghcr.io/lab/tools:1\n", NULL, cli_image_push },
	{ "image append", NULL, "BASE NEW", 2, 2,
	  "put files onto an image of a registry, without fetching it",
	  "  oscar image append ghcr.io/lab/tools:1 ghcr.io/lab/mine:1 --file run.sh:/app/run.sh\n",
	  append_options, cli_image_append },
	{ "image build", NULL, "DIR", 1, 1, "build an image with buildah and bring it in",
	  "  oscar image build -t lab/tools:2 tools/\n", build_options, cli_image_build },
	{ "image inspect", NULL, "NAME:TAG", 1, 1, "one image: digest, configuration, sizes", NULL,
	  NULL, cli_image_inspect },
	{ "image du", NULL, "", 0, 0, "what each image takes: its own, shared with others", NULL,
	  NULL, cli_image_du },
	{ "image prune", NULL, "", 0, 0, "remove what nothing needs", NULL, prune_options,
	  cli_image_prune },
	{ "image list", "image ls", "", 0, 0, "images", NULL, NULL, cli_image_list },
	{ "image rm", "image remove|image delete", "NAME…", 1, -1, "remove images", NULL, NULL,
	  cli_image_remove },
	{ "user add", NULL, "NAME", 1, 1, "add a user",
	  "  oscar user add ana --s3-key ANA --s3-secret -\n", user_options, cli_user_add },
	{ "user limits", NULL, "NAME", 1, 1,
	  "limits of a user's jobs; without options they are shown",
	  "  oscar user limits ana --running 8 --cpu 4 --memory 8Gi --weight 2\n", limits_options,
	  cli_user_limits },
	{ "info", "cluster info", "", 0, 0, "version of the server", NULL, NULL, cli_info },
	{ "health", NULL, "", 0, 0, "is the server well?", NULL, NULL, cli_health },
	{ 0 },
};
