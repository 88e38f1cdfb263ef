// The AWS SDK for JavaScript, version 3, with its default settings.
// usage: node aws_js.mjs ENDPOINT ACCESS SECRET BUCKET FOLDER
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createReadStream, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

// The modules lie outside the tree; NODE_PATH says where, which only require() heeds.
const require = createRequire(import.meta.url);
const s3 = require("@aws-sdk/client-s3");
const { Upload } = require("@aws-sdk/lib-storage");
const { getSignedUrl } = require("@aws-sdk/s3-request-presigner");

const [endpoint, accessKeyId, secretAccessKey, Bucket, folder] = process.argv.slice(2);
const client = new s3.S3Client({
  endpoint, region: "us-east-1", forcePathStyle: true, credentials: { accessKeyId, secretAccessKey },
});
const call = (name, input = {}) => client.send(new s3[`${name}Command`]({ Bucket, ...input }));
const body = async (Key, more = {}) => Buffer.from(await (await call("GetObject", { Key, ...more })).Body.transformToByteArray());
const fails = (name, promise) => assert.rejects(promise, { name });
const odd = "dir/with space+plus ümläut &<>'\".bin";

await call("CreateBucket");
assert.ok((await client.send(new s3.ListBucketsCommand({}))).Buckets.some((b) => b.Name === Bucket));
await call("HeadBucket");
await fails("BucketAlreadyOwnedByYou", call("CreateBucket"));

// Bodies: buffer, stream of known length, stream of unknown length in parts.
const put = await call("PutObject", { Key: odd, Body: "small", ContentType: "text/plain", Metadata: { colour: "blue" } });
assert.equal(put.ETag, '"eb5c1399a871211c7e7ed732d15e3a8b"');
assert.ok(put.ChecksumCRC32);
const head = await call("HeadObject", { Key: odd, ChecksumMode: "ENABLED" });
assert.deepEqual([head.ContentLength, head.ContentType, head.Metadata, head.ChecksumCRC32],
  [5, "text/plain", { colour: "blue" }, put.ChecksumCRC32]);
const large = randomBytes(12 << 20);
writeFileSync(`${folder}/large`, large);
await call("PutObject", { Key: "streamed", Body: createReadStream(`${folder}/large`), ContentLength: large.length });
assert.ok((await body("streamed")).equals(large));
const slices = function* () { for (let i = 0; i < large.length; i += 100_000) yield large.subarray(i, i + 100_000); };
await new Upload({ client, params: { Bucket, Key: "parts", Body: Readable.from(slices()) }, partSize: 5 << 20 }).done();
assert.ok((await body("parts")).equals(large));
assert.match((await call("HeadObject", { Key: "parts" })).ETag, /-3"$/);
assert.ok((await body("parts", { Range: "bytes=-7" })).equals(large.subarray(-7)));
for (const ChecksumAlgorithm of ["CRC32C", "CRC64NVME", "SHA1", "SHA256"]) {
  await call("PutObject", { Key: "sum", Body: "abc", ChecksumAlgorithm });
  assert.equal(String(await body("sum", { ChecksumMode: "ENABLED" })), "abc");
}

// Conditions and errors.
await fails("PreconditionFailed", call("PutObject", { Key: odd, Body: "", IfNoneMatch: "*" }));
await fails("NoSuchKey", call("GetObject", { Key: "none" }));
await fails("NotFound", call("HeadObject", { Key: "none" }));
await assert.rejects(call("GetObject", { Key: odd, IfNoneMatch: put.ETag }), (e) => e.$metadata.httpStatusCode === 304);

// Listings in pages, by levels.
for (let i = 0; i < 12; i++) await call("PutObject", { Key: `many/${String(i).padStart(3, "0")}`, Body: "" });
const listed = [];
for await (const page of s3.paginateListObjectsV2({ client, pageSize: 5 }, { Bucket, Prefix: "many/" }))
  listed.push(...page.Contents.map((o) => o.Key));
assert.equal(listed.length, 12);
const level = await call("ListObjectsV2", { Delimiter: "/", EncodingType: "url" });
assert.deepEqual(level.CommonPrefixes.map((p) => p.Prefix), ["dir/", "many/"]);
assert.deepEqual((await call("ListObjects", { Prefix: "dir/" })).Contents.map((o) => o.Key), [odd]);

// Copy, tags, attributes, versions.
await call("CopyObject", { Key: "copy", CopySource: encodeURI(`${Bucket}/${odd}`).replace("+", "%2B") });
assert.equal(String(await body("copy")), "small");
await call("PutObjectTagging", { Key: odd, Tagging: { TagSet: [{ Key: "Project", Value: "One" }] } });
assert.deepEqual((await call("GetObjectTagging", { Key: odd })).TagSet, [{ Key: "Project", Value: "One" }]);
const about = await call("GetObjectAttributes", { Key: "parts", ObjectAttributes: ["ETag", "ObjectParts", "ObjectSize"] });
assert.deepEqual([about.ObjectSize, about.ObjectParts.TotalPartsCount], [large.length, 3]);
await call("PutBucketVersioning", { VersioningConfiguration: { Status: "Enabled" } });
const { VersionId } = await call("PutObject", { Key: "v", Body: "1" });
await call("PutObject", { Key: "v", Body: "2" });
assert.equal(String(await body("v", { VersionId })), "1");

// Addresses signed ahead.
const get = await getSignedUrl(client, new s3.GetObjectCommand({ Bucket, Key: odd }), { expiresIn: 60 });
assert.equal(await (await fetch(get)).text(), "small");
const labelled = { Bucket, Key: "by-link", StorageClass: "STANDARD_IA", Metadata: { colour: "blue" } };
const into = await getSignedUrl(client, new s3.PutObjectCommand(labelled), { expiresIn: 60 });
assert.equal((await fetch(into, { method: "PUT", body: "linked" })).status, 200);
assert.equal(String(await body("by-link")), "linked");
const linked = await call("HeadObject", { Key: "by-link" });
assert.deepEqual([linked.StorageClass, linked.Metadata], ["STANDARD_IA", { colour: "blue" }]);

// All goes, versions too.
const all = await call("ListObjectVersions");
const Objects = [...all.Versions, ...(all.DeleteMarkers ?? [])].map(({ Key, VersionId }) => ({ Key, VersionId }));
assert.equal((await call("DeleteObjects", { Delete: { Objects } })).Errors, undefined);
await call("DeleteBucket");
await fails("NoSuchBucket", call("ListObjectsV2"));
