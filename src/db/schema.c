// SPDX-License-Identifier: Apache-2.0
#include "db/schema.h"

#include "base/attr.h"

// Fixed for good before the first table: page_size 4096 (measured against 8192 and 16384: 1.6 times the
// records per CPU second), auto_vacuum=INCREMENTAL (see db.c), object keys clustered by (bucket, key, version
// descending) in BINARY order, inline bodies in a table of their own, an owner on every row that has one.
// Ids are never used twice (AUTOINCREMENT): logs, grants and events name them longer than the rows live.
// Times are nanoseconds since 1970 UTC. Booleans are 0 or 1.

// db: numbers, settings of the installation, the feed.
#define TABLES_DB                                                                                  \
	"CREATE TABLE sequences(name TEXT PRIMARY KEY, reserved INTEGER NOT NULL) WITHOUT ROWID;"  \
	"CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"         \
	"CREATE TABLE feed(seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL,"       \
	" kind TEXT NOT NULL, owner INTEGER NOT NULL, doc TEXT NOT NULL);"

// auth: users (1 = the administrator, 2 = anonymous), groups, keys, rights.
#define TABLES_AUTH                                                                                \
	"CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"      \
	" password TEXT, admin INTEGER NOT NULL DEFAULT 0, enabled INTEGER NOT NULL DEFAULT 1,"    \
	" created_ns INTEGER NOT NULL);"                                                           \
	"CREATE TABLE groups(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);"    \
	"CREATE TABLE group_members(grp INTEGER NOT NULL, user INTEGER NOT NULL,"                  \
	" PRIMARY KEY(grp, user)) WITHOUT ROWID;"                                                  \
	"CREATE TABLE keys(access TEXT PRIMARY KEY, secret TEXT NOT NULL, user INTEGER NOT NULL,"  \
	" enabled INTEGER NOT NULL DEFAULT 1, created_ns INTEGER NOT NULL) WITHOUT ROWID;"         \
	"CREATE INDEX keys_user ON keys(user);"                                                    \
	"CREATE TABLE grants(bucket INTEGER NOT NULL, user INTEGER NOT NULL,"                      \
	" rights INTEGER NOT NULL, PRIMARY KEY(bucket, user)) WITHOUT ROWID;"

// store: buckets and objects. content: inline = its row in bodies; segments = its rows in segments.
// objects.version increases over the whole installation and is the event sequencer.
// storage: 0 inline, 1 segments, 2 external (a file of a directory bucket, path = key).
#define TABLES_STORE                                                                               \
	"CREATE TABLE buckets(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"    \
	" owner INTEGER NOT NULL, created_ns INTEGER NOT NULL, service INTEGER NOT NULL DEFAULT "  \
	"0,"                                                                                       \
	" visibility INTEGER NOT NULL DEFAULT 0, versioning INTEGER NOT NULL DEFAULT 0,"           \
	" directory TEXT, quota_bytes INTEGER, quota_objects INTEGER,"                             \
	" objects INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0);"                  \
	"CREATE INDEX buckets_owner ON buckets(owner);"                                            \
	"CREATE TABLE bucket_configs(bucket INTEGER NOT NULL, kind TEXT NOT NULL,"                 \
	" doc TEXT NOT NULL, PRIMARY KEY(bucket, kind)) WITHOUT ROWID;"                            \
	"CREATE TABLE objects(bucket INTEGER NOT NULL, key TEXT NOT NULL,"                         \
	" version INTEGER NOT NULL, null_version INTEGER NOT NULL, delete_marker INTEGER NOT "     \
	"NULL,"                                                                                    \
	" owner INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,"                      \
	" mtime_ns INTEGER NOT NULL, storage INTEGER NOT NULL, content INTEGER NOT NULL,"          \
	" parts INTEGER NOT NULL, meta BLOB, tags TEXT, checksum TEXT, sse TEXT, lock TEXT,"       \
	" job INTEGER NOT NULL, run INTEGER NOT NULL, depth INTEGER NOT NULL,"                     \
	" PRIMARY KEY(bucket, key, version DESC)) WITHOUT ROWID;"                                  \
	"CREATE INDEX objects_job ON objects(job) WHERE job<>0;"                                   \
	"CREATE TABLE bodies(content INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT "    \
	"NULL);"                                                                                   \
	"CREATE TABLE contents(id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, size INTEGER NOT "   \
	"NULL);"                                                                                   \
	"CREATE TABLE segments(content INTEGER NOT NULL, seq INTEGER NOT NULL,"                    \
	" file INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,"                \
	" PRIMARY KEY(content, seq)) WITHOUT ROWID;"                                               \
	"CREATE TABLE files(id INTEGER PRIMARY KEY, refs INTEGER NOT NULL, size INTEGER NOT NULL," \
	" dir INTEGER NOT NULL DEFAULT 0, crcs BLOB, bad INTEGER NOT NULL DEFAULT 0);"             \
	"CREATE TABLE garbage(file INTEGER PRIMARY KEY, dir INTEGER NOT NULL DEFAULT 0);"          \
	"CREATE TABLE uploads(bucket INTEGER NOT NULL, key TEXT NOT NULL, id TEXT NOT NULL,"       \
	" owner INTEGER NOT NULL, created_ns INTEGER NOT NULL, meta BLOB, tags TEXT,"              \
	" checksum TEXT, PRIMARY KEY(bucket, key, id)) WITHOUT ROWID;"                             \
	"CREATE TABLE upload_parts(upload TEXT NOT NULL, number INTEGER NOT NULL,"                 \
	" etag TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"                   \
	" storage INTEGER NOT NULL, content INTEGER NOT NULL, checksum TEXT,"                      \
	" PRIMARY KEY(upload, number)) WITHOUT ROWID;"

// service: one row a function, one row each time it was changed; secrets apart so that no listing meets them.
#define TABLES_SERVICE                                                                             \
	"CREATE TABLE services(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, owner "   \
	"INTEGER NOT "                                                                             \
	"NULL,"                                                                                    \
	" revision INTEGER NOT NULL, token TEXT NOT NULL, created_ns INTEGER NOT NULL,"            \
	" changed_ns INTEGER NOT NULL, paused INTEGER NOT NULL DEFAULT 0);"                        \
	"CREATE UNIQUE INDEX services_name ON services(name, owner);"                              \
	"CREATE TABLE service_revisions(service INTEGER NOT NULL, revision INTEGER NOT NULL,"      \
	" doc TEXT NOT NULL, script_hash TEXT NOT NULL, image_id TEXT NOT NULL,"                   \
	" created_ns INTEGER NOT NULL, PRIMARY KEY(service, revision)) WITHOUT ROWID;"             \
	"CREATE TABLE service_secrets(service INTEGER NOT NULL, name TEXT NOT NULL,"               \
	" value TEXT NOT NULL, PRIMARY KEY(service, name)) WITHOUT ROWID;"                         \
	"CREATE TABLE triggers(id INTEGER PRIMARY KEY AUTOINCREMENT, service INTEGER NOT NULL,"    \
	" bucket INTEGER NOT NULL, folder TEXT NOT NULL, filter TEXT NOT NULL);"                   \
	"CREATE INDEX triggers_bucket ON triggers(bucket);"                                        \
	"CREATE INDEX triggers_service ON triggers(service);"

// queue: an event leads to one job (several events may share one); attempts are the runs of a job.
// events.version 0 = no object: the payload came with the call.
// state: queue.h enum queue_state. run_after_ns delays a retry. lease_ns = mono time is meaningless after a
// restart, so leases are wall times.
#define TABLES_QUEUE                                                                               \
	"CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, service INTEGER NOT NULL,"      \
	" trigger INTEGER NOT NULL, source TEXT NOT NULL, bucket INTEGER NOT NULL,"                \
	" key TEXT NOT NULL, version INTEGER NOT NULL, job INTEGER NOT NULL,"                      \
	" time_ns INTEGER NOT NULL);"                                                              \
	"CREATE UNIQUE INDEX events_once ON events(version, service, trigger) WHERE version<>0;"   \
	"CREATE INDEX events_job ON events(job);"                                                  \
	"CREATE TABLE jobs(id INTEGER PRIMARY KEY AUTOINCREMENT, uuid BLOB NOT NULL, service "     \
	"INTEGER NOT NULL,"                                                                        \
	" revision INTEGER NOT NULL, owner INTEGER NOT NULL, state INTEGER NOT NULL,"              \
	" attempt INTEGER NOT NULL, sync INTEGER NOT NULL, priority INTEGER NOT NULL,"             \
	" run_after_ns INTEGER NOT NULL, lease_ns INTEGER NOT NULL, worker TEXT,"                  \
	" run INTEGER NOT NULL, depth INTEGER NOT NULL, created_ns INTEGER NOT NULL,"              \
	" started_ns INTEGER NOT NULL DEFAULT 0, ended_ns INTEGER NOT NULL DEFAULT 0,"             \
	" exit_code INTEGER, reason TEXT, outputs INTEGER NOT NULL DEFAULT 0);"                    \
	"CREATE UNIQUE INDEX jobs_uuid ON jobs(uuid);"                                             \
	"CREATE INDEX jobs_ready ON jobs(priority DESC, run_after_ns, id) WHERE state=0;"          \
	"CREATE INDEX jobs_active ON jobs(state, id) WHERE state IN (1,2,3);"                      \
	"CREATE INDEX jobs_service ON jobs(service, id);"                                          \
	"CREATE INDEX jobs_run ON jobs(run, id);"                                                  \
	"CREATE TABLE payloads(job INTEGER PRIMARY KEY, data BLOB NOT NULL);"                      \
	"CREATE TABLE attempts(job INTEGER NOT NULL, number INTEGER NOT NULL,"                     \
	" driver TEXT NOT NULL, node TEXT, leased_ns INTEGER NOT NULL,"                            \
	" started_ns INTEGER NOT NULL DEFAULT 0, uploading_ns INTEGER NOT NULL DEFAULT 0,"         \
	" ended_ns INTEGER NOT NULL DEFAULT 0, outcome TEXT, exit_code INTEGER, signal INTEGER,"   \
	" reason TEXT, memory_peak INTEGER, cpu_us INTEGER,"                                       \
	" PRIMARY KEY(job, number)) WITHOUT ROWID;"                                                \
	"CREATE TABLE job_counts(service INTEGER NOT NULL, state INTEGER NOT NULL,"                \
	" n INTEGER NOT NULL, PRIMARY KEY(service, state)) WITHOUT ROWID;"

// image: names of unpacked root file systems; the id is the folder below images/.
#define TABLES_IMAGE                                                                               \
	"CREATE TABLE images(name TEXT PRIMARY KEY, id TEXT NOT NULL, digest TEXT NOT NULL,"       \
	" size INTEGER NOT NULL, config TEXT, owner INTEGER NOT NULL, created_ns INTEGER NOT "     \
	"NULL)"                                                                                    \
	" WITHOUT ROWID;"

// attempts_before: the attempts that a job had when it was sent again, which do not count against its policy.
#define JOBS_REDRIVEN "ALTER TABLE jobs ADD COLUMN attempts_before INTEGER NOT NULL DEFAULT 0;"

// Access lists of objects as auth/acl.h writes them (NULL: full control of the object's and the bucket's owner),
// and how a user is named in other people's grants.
#define ACCESS_LISTS                                                                               \
	"ALTER TABLE objects ADD COLUMN acl TEXT;"                                                 \
	"ALTER TABLE uploads ADD COLUMN acl TEXT;"                                                 \
	"ALTER TABLE users ADD COLUMN email TEXT;"                                                 \
	"CREATE UNIQUE INDEX users_email ON users(email) WHERE email IS NOT NULL;"

// store: what versioned and locked buckets keep, and what is remembered of finished uploads.
// buckets.lock: NULL = no object lock, else the default retention ("" = none, store/lock.c). objects.class:
// NULL = STANDARD. content_parts: the parts of a content made by a multipart upload, "number:size:checksum" a
// line. completed: answers to those who complete an upload twice.
#define STORE_VERSIONS                                                                             \
	"ALTER TABLE buckets ADD COLUMN lock TEXT;"                                                \
	"ALTER TABLE objects ADD COLUMN class TEXT;"                                               \
	"ALTER TABLE uploads ADD COLUMN class TEXT;"                                               \
	"ALTER TABLE uploads ADD COLUMN lock TEXT;"                                                \
	"CREATE INDEX uploads_age ON uploads(created_ns);"                                         \
	"CREATE TABLE content_parts(content INTEGER PRIMARY KEY, list TEXT NOT NULL);"             \
	"CREATE TABLE completed(upload TEXT PRIMARY KEY, bucket INTEGER NOT NULL,"                 \
	" key TEXT NOT NULL, version INTEGER NOT NULL, etag TEXT NOT NULL,"                        \
	" time_ns INTEGER NOT NULL) WITHOUT ROWID;"                                                \
	"CREATE INDEX completed_age ON completed(time_ns);"                                        \
	"CREATE TABLE user_quotas(user INTEGER PRIMARY KEY, bytes INTEGER, objects INTEGER);"

// buckets.lifecycle: the bucket has lifecycle rules (bucket_configs), so that the others need not be asked.
#define LIFECYCLE "ALTER TABLE buckets ADD COLUMN lifecycle INTEGER NOT NULL DEFAULT 0;"

// image: what the registry holds. A repository is an image's name without its tag; its tags are the rows of images
// (id '' = not unpacked yet). repo_blobs: what a repository may hand out; one that no manifest of it names goes when
// it was not asked for since seen_ns for a while. refs of a manifest: configuration, layers, children.
#define TABLES_REGISTRY                                                                            \
	"CREATE TABLE manifests(repo TEXT NOT NULL, digest TEXT NOT NULL, media TEXT NOT NULL,"    \
	" size INTEGER NOT NULL, subject TEXT, artifact TEXT NOT NULL, owner INTEGER NOT NULL,"    \
	" created_ns INTEGER NOT NULL, PRIMARY KEY(repo, digest)) WITHOUT ROWID;"                  \
	"CREATE INDEX manifests_digest ON manifests(digest);"                                      \
	"CREATE INDEX manifests_subject ON manifests(repo, subject) WHERE subject IS NOT NULL;"    \
	"CREATE TABLE manifest_refs(repo TEXT NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT "  \
	"NULL,"                                                                                    \
	" child INTEGER NOT NULL, PRIMARY KEY(repo, manifest, digest)) WITHOUT ROWID;"             \
	"CREATE INDEX manifest_refs_digest ON manifest_refs(digest, repo);"                        \
	"CREATE TABLE repo_blobs(repo TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL," \
	" seen_ns INTEGER NOT NULL, PRIMARY KEY(repo, digest)) WITHOUT ROWID;"                     \
	"CREATE INDEX repo_blobs_digest ON repo_blobs(digest);"

// files.crcs: see store/blocks.h. The few that are damaged are looked for at every start.
#define FILES_BAD "CREATE INDEX files_bad ON files(id) WHERE bad=1;"

// auth: named policies of users and groups (those that are built in are not kept).
#define TABLES_POLICIES                                                                            \
	"ALTER TABLE groups ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1;"                        \
	"CREATE TABLE policies(name TEXT PRIMARY KEY, doc TEXT NOT NULL,"                          \
	" changed_ns INTEGER NOT NULL) WITHOUT ROWID;"                                             \
	"CREATE TABLE policy_users(user INTEGER NOT NULL, policy TEXT NOT NULL,"                   \
	" PRIMARY KEY(user, policy)) WITHOUT ROWID;"                                               \
	"CREATE TABLE policy_groups(grp INTEGER NOT NULL, policy TEXT NOT NULL,"                   \
	" PRIMARY KEY(grp, policy)) WITHOUT ROWID;"

// notify: targets of events (events: how many of notify_events are its own, room: how many may be) and what is on its
// way to them. An event whose time is over is dead: it stays until somebody sends it again or drops it.
#define TABLES_NOTIFY                                                                              \
	"CREATE TABLE notify_targets(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,"    \
	" name TEXT NOT NULL, config TEXT NOT NULL, room INTEGER NOT NULL, created_ns INTEGER "    \
	"NOT "                                                                                     \
	"NULL,"                                                                                    \
	" events INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0);"                 \
	"CREATE UNIQUE INDEX notify_targets_name ON notify_targets(kind, name);"                   \
	"CREATE TABLE notify_events(seq INTEGER PRIMARY KEY AUTOINCREMENT, target INTEGER NOT "    \
	"NULL,"                                                                                    \
	" bucket INTEGER NOT NULL, key TEXT NOT NULL, time_ns INTEGER NOT NULL,"                   \
	" attempts INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0, dead_ns INTEGER, " \
	"reason TEXT, record TEXT NOT "                                                            \
	"NULL);"                                                                                   \
	"CREATE INDEX notify_events_due ON notify_events(target, dead, seq);"

// queue: lanes count the queued jobs by who shares fairly with whom (owner, service) and by priority, so that
// dispatch looks at lanes and at heads, whatever lies behind them. Ready jobs have run_after_ns 0; one that waits for
// its time is in jobs_delayed only. services.paused: 1 = starts nothing but jobs up to drain_to.
#define QUEUE_LANES                                                                                \
	"CREATE TABLE lanes(owner INTEGER NOT NULL, service INTEGER NOT NULL,"                     \
	" priority INTEGER NOT NULL, queued INTEGER NOT NULL,"                                     \
	" PRIMARY KEY(owner, service, priority)) WITHOUT ROWID;"                                   \
	"INSERT INTO lanes SELECT owner,service,priority,count(*) FROM jobs WHERE state=0"         \
	" GROUP BY owner,service,priority;"                                                        \
	"DROP INDEX jobs_ready;"                                                                   \
	"DROP INDEX jobs_active;"                                                                  \
	"CREATE INDEX jobs_lane ON jobs(owner, service, priority, id)"                             \
	" WHERE state=0 AND run_after_ns=0;"                                                       \
	"CREATE INDEX jobs_delayed ON jobs(run_after_ns) WHERE state=0 AND run_after_ns>0;"        \
	"CREATE INDEX jobs_state ON jobs(state, id);"                                              \
	"CREATE INDEX jobs_service_state ON jobs(service, state, id);"                             \
	"CREATE INDEX jobs_owner ON jobs(owner, id);"                                              \
	"CREATE TABLE user_limits(user INTEGER PRIMARY KEY, running INTEGER NOT NULL,"             \
	" queued INTEGER NOT NULL, cpu_millis INTEGER NOT NULL, memory_bytes INTEGER NOT NULL,"    \
	" weight INTEGER NOT NULL);"                                                               \
	"ALTER TABLE services ADD COLUMN drain_to INTEGER NOT NULL DEFAULT 0;"

// images.source: the reference that it was pulled from, NULL for what came by a file or a push.
#define IMAGE_SOURCE "ALTER TABLE images ADD COLUMN source TEXT;"

// queue: logs of attempts that are over, those too large for a row lie in files.
#define JOB_LOGS                                                                                   \
	"CREATE TABLE job_logs(job INTEGER NOT NULL, attempt INTEGER NOT NULL,"                    \
	" data BLOB NOT NULL, PRIMARY KEY(job, attempt));"

// service: runs over objects that are there already; see service/backfill.h.
#define BACKFILLS                                                                                  \
	"CREATE TABLE backfills(id INTEGER PRIMARY KEY AUTOINCREMENT, service INTEGER NOT NULL,"   \
	" owner INTEGER NOT NULL, input INTEGER NOT NULL, prefix TEXT NOT NULL,"                   \
	" glob TEXT NOT NULL, since_ns INTEGER NOT NULL, changed INTEGER NOT NULL,"                \
	" lim INTEGER NOT NULL, after TEXT NOT NULL DEFAULT '', looked INTEGER NOT NULL DEFAULT "  \
	"0,"                                                                                       \
	" queued INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,"                  \
	" state INTEGER NOT NULL DEFAULT 0, reason TEXT, created_ns INTEGER NOT NULL,"             \
	" ended_ns INTEGER NOT NULL DEFAULT 0);"                                                   \
	"CREATE INDEX backfills_service ON backfills(service, id);"                                \
	"CREATE INDEX backfills_working ON backfills(id) WHERE state=0;"

// service: a backfill with a sample queues the first `sample` of its objects and counts the rest.
#define BACKFILL_SAMPLES                                                                           \
	"ALTER TABLE backfills ADD COLUMN sample INTEGER NOT NULL DEFAULT 0;"                      \
	"ALTER TABLE backfills ADD COLUMN first_job INTEGER NOT NULL DEFAULT 0;"                   \
	"ALTER TABLE backfills ADD COLUMN last_job INTEGER NOT NULL DEFAULT 0;"                    \
	"ALTER TABLE backfills ADD COLUMN rest INTEGER NOT NULL DEFAULT 0;"                        \
	"ALTER TABLE backfills ADD COLUMN rest_bytes INTEGER NOT NULL DEFAULT 0;"

// store: files of directory buckets that are committed and not renamed yet; see store/placing.h.
#define PLACINGS                                                                                   \
	"CREATE TABLE placings(bucket INTEGER NOT NULL, key TEXT NOT NULL, part TEXT NOT NULL,"    \
	" PRIMARY KEY(bucket, key)) WITHOUT ROWID;"

// service: events that wait for others to make one job with them; see service/group.h.
#define INPUT_GROUPS                                                                               \
	"CREATE TABLE input_groups(id INTEGER PRIMARY KEY AUTOINCREMENT, service INTEGER NOT "     \
	"NULL,"                                                                                    \
	" input INTEGER NOT NULL, n INTEGER NOT NULL, bytes INTEGER NOT NULL,"                     \
	" run INTEGER NOT NULL, depth INTEGER NOT NULL, made INTEGER NOT NULL,"                    \
	" opened_ns INTEGER NOT NULL, due_ns INTEGER NOT NULL);"                                   \
	"CREATE INDEX input_groups_service ON input_groups(service, input);"                       \
	"CREATE INDEX input_groups_due ON input_groups(due_ns);"                                   \
	"CREATE TABLE input_group_members(grp INTEGER NOT NULL, key TEXT NOT NULL,"                \
	" bucket INTEGER NOT NULL, version INTEGER NOT NULL, payload TEXT NOT NULL,"               \
	" PRIMARY KEY(grp, key)) WITHOUT ROWID;"

// service: what kind of group it is (enum service_group_kind). Of the members of one of a whole run only the one that opened the group has its
// payload. queue: the jobs of a run that did not succeed.
#define RUN_GROUPS                                                                                 \
	"ALTER TABLE input_groups ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;"                     \
	"CREATE INDEX input_groups_run ON input_groups(run);"                                      \
	"CREATE INDEX jobs_run_bad ON jobs(run, id) WHERE state>4;"

// queue: traces that began elsewhere, and what the others are computed from; see queue/trace.c.
#define TRACES                                                                                     \
	"CREATE TABLE trace_seed(seed BLOB NOT NULL);"                                             \
	"INSERT INTO trace_seed(seed) VALUES(randomblob(16));"                                     \
	"CREATE TABLE traces(run INTEGER PRIMARY KEY, id BLOB NOT NULL, parent BLOB NOT NULL,"     \
	" flags INTEGER NOT NULL);"                                                                \
	"CREATE INDEX traces_id ON traces(id, run);"

// queue: of which attempts the logs were removed before the job; see queue/logs.c.
#define LOGS_GONE                                                                                  \
	"ALTER TABLE jobs ADD COLUMN logs_gone INTEGER NOT NULL DEFAULT 0;"                        \
	"CREATE INDEX jobs_logged ON jobs(service, ended_ns) WHERE state>=4 AND "                  \
	"logs_gone<attempt;"

// queue: devices of the machine that an attempt has for itself, with blanks between.
#define ATTEMPT_DEVICES "ALTER TABLE attempts ADD COLUMN devices TEXT NOT NULL DEFAULT '';"

const char *const schema_migrations[] = {
	TABLES_DB TABLES_AUTH TABLES_STORE TABLES_SERVICE TABLES_QUEUE TABLES_IMAGE,
	JOBS_REDRIVEN,
	ACCESS_LISTS,
	STORE_VERSIONS,
	LIFECYCLE,
	FILES_BAD,
	TABLES_REGISTRY,
	TABLES_POLICIES,
	TABLES_NOTIFY,
	QUEUE_LANES,
	IMAGE_SOURCE,
	JOB_LOGS,
	BACKFILLS,
	BACKFILL_SAMPLES,
	PLACINGS,
	INPUT_GROUPS,
	RUN_GROUPS,
	TRACES,
	LOGS_GONE,
	ATTEMPT_DEVICES,
};
const size_t schema_migration_count = ARRAY_LEN(schema_migrations);
