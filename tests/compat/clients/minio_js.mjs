// minio-js with its default settings.  usage: node minio_js.mjs ENDPOINT ACCESS SECRET BUCKET FOLDER
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

// The modules lie outside the tree; NODE_PATH says where, which only require() heeds.
const Minio = createRequire(import.meta.url)("minio");

const [endpoint, accessKey, secretKey, bucket, folder] = process.argv.slice(2);
const { hostname, port } = new URL(endpoint);
const c = new Minio.Client({ endPoint: hostname, port: Number(port), useSSL: false, accessKey, secretKey });
const all = async (stream) => { const parts = []; for await (const p of stream) parts.push(p); return parts; };
const body = async (key, ...more) => Buffer.concat(await all(await c.getObject(bucket, key, ...more)));
const names = async (...how) => (await all(c.listObjectsV2(bucket, ...how))).map((o) => o.name ?? o.prefix);
const fails = (code, promise) => assert.rejects(promise, (e) => e.code === code);
const odd = "dir/with space+plus ümläut &<>'\".bin";

assert.equal(await c.bucketExists(bucket), false);
await c.makeBucket(bucket);
assert.equal(await c.bucketExists(bucket), true);
await fails("BucketAlreadyOwnedByYou", c.makeBucket(bucket));
assert.ok((await c.listBuckets()).some((b) => b.name === bucket));

// Bodies: string, stream of unknown length, files in parts.
await c.putObject(bucket, odd, "small", 5, { "Content-Type": "text/plain", "X-Amz-Meta-Colour": "blue" });
const stat = await c.statObject(bucket, odd);
assert.deepEqual([stat.size, stat.metaData["content-type"], stat.metaData.colour], [5, "text/plain", "blue"]);
await c.putObject(bucket, "streamed", Readable.from([Buffer.from("abc"), Buffer.from("def")]));
assert.equal(String(await body("streamed")), "abcdef");
const large = randomBytes((64 << 20) + 5); // minio-js has parts from 64 MiB on
writeFileSync(`${folder}/large`, large);
await c.fPutObject(bucket, "large", `${folder}/large`);
assert.match((await c.statObject(bucket, "large")).etag, /-2$/);
await c.fGetObject(bucket, "large", `${folder}/again`);
assert.ok(readFileSync(`${folder}/again`).equals(large));
const part = Buffer.concat(await all(await c.getPartialObject(bucket, "large", large.length - 10, 10)));
assert.ok(part.equals(large.subarray(-10)));
await fails("NotFound", c.statObject(bucket, "none"));
await fails("NoSuchKey", c.getObject(bucket, "none"));

// Listings.
for (let i = 0; i < 12; i++) await c.putObject(bucket, `many/${String(i).padStart(3, "0")}`, "");
assert.equal((await names("many/", true)).length, 12);
assert.deepEqual((await names("")).sort(), ["dir/", "large", "many/", "streamed"]);
assert.deepEqual(await names("", true, "many/010"), ["many/011", "streamed"]);
assert.deepEqual((await all(c.listObjects(bucket, "dir/", true))).map((o) => o.name), [odd]);

// Copies, tags, versions, lifecycle.
await c.copyObject(bucket, "copy", `/${bucket}/${odd}`);
assert.equal(String(await body("copy")), "small");
await c.setObjectTagging(bucket, odd, { Project: "One" });
assert.deepEqual(await c.getObjectTagging(bucket, odd), [{ Key: "Project", Value: "One" }]);
await c.setBucketVersioning(bucket, { Status: "Enabled" });
assert.equal((await c.getBucketVersioning(bucket)).Status, "Enabled");
const { versionId } = await c.putObject(bucket, "v", "1");
await c.putObject(bucket, "v", "2");
assert.equal(String(await body("v", { versionId })), "1");
await c.setBucketLifecycle(bucket, { Rule: [{ ID: "r", Status: "Enabled", Filter: { Prefix: "tmp/" }, Expiration: { Days: 3 } }] });
assert.equal(Number([(await c.getBucketLifecycle(bucket)).Rule].flat()[0].Expiration.Days), 3);
await c.removeBucketLifecycle(bucket);

// Addresses signed ahead, and a form.
assert.equal(await (await fetch(await c.presignedGetObject(bucket, odd, 60))).text(), "small");
const linked = await fetch(await c.presignedPutObject(bucket, "by-link", 60), { method: "PUT", body: "linked" });
assert.equal(linked.status, 200);
assert.equal(String(await body("by-link")), "linked");
const policy = c.newPostPolicy();
policy.setBucket(bucket);
policy.setKeyStartsWith("form/");
policy.setExpires(new Date(Date.now() + 60_000));
const { postURL, formData } = await c.presignedPostPolicy(policy);
const form = new FormData();
for (const [k, v] of Object.entries({ ...formData, key: "form/a" })) form.append(k, v);
form.append("file", new Blob(["posted"]), "f");
assert.equal((await fetch(postURL, { method: "POST", body: form })).status, 204);
assert.equal(String(await body("form/a")), "posted");

// Events as they happen. Nothing tells when the poller listens, so puts go on until one is heard.
const poller = c.listenBucketNotification(bucket, "heard/", "", ["s3:ObjectCreated:*"]);
const heard = new Promise((done, failed) => poller.once("notification", done).once("error", failed));
let listening = true;
const puts = (async () => {
  for (; listening; await new Promise((done) => setTimeout(done, 100))) await c.putObject(bucket, "heard/a b", "123");
})();
const record = await heard;
listening = false;
await puts;
poller.stop(); // when the next one comes
await c.putObject(bucket, "heard/last", "");
assert.equal(record.eventName, "s3:ObjectCreated:Put");
assert.equal(record.s3.object.key, "heard/a b");

// All goes, versions too.
const every = await all(c.listObjects(bucket, "", true, { IncludeVersion: true }));
await c.removeObjects(bucket, every.map(({ name, versionId }) => ({ name, versionId })));
await c.removeBucket(bucket);
await fails("NoSuchBucket", all(c.listObjectsV2(bucket)));
