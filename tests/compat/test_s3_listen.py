"""Listening: events of a bucket, or of all, on a connection that the client holds (MinIO's extension)."""
import http.client
import json
import subprocess
import threading
import time
import urllib.parse

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import KEYS, Service
from test_s3_boto3 import fault

ALL = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectAccessed:*")


class Listener:
    def __init__(self, service, path, events, who="boss", **query):
        pairs = [("events", e) for e in events] + list(query.items())
        target = path + "?" + urllib.parse.urlencode(pairs, quote_via=urllib.parse.quote)
        request = AWSRequest("GET", service.endpoint + target)
        S3SigV4Auth(Credentials(*KEYS[who]), "s3", "us-east-1").add_auth(request)
        self.link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        self.link.request("GET", target, headers=dict(request.headers))
        self.answer = self.link.getresponse()
        self.status = self.answer.status

    def next(self):
        """(event, bucket, key) of the next one."""
        line = self.answer.readline()
        assert line.strip(), "the server ended the stream"
        told = json.loads(line)
        assert list(told) == ["Records"]
        (record,) = told["Records"]
        self.record = record
        return record["eventName"][3:], record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]

    def close(self):
        # The answer holds the descriptor too: only when both are closed does the server see it.
        self.answer.close()
        self.link.close()


@pytest.fixture
def listen(service):
    made = []

    def new(*args, **kw):
        made.append(Listener(service, *args, **kw))
        return made[-1]
    yield new
    for one in made:
        one.close()


def test_each_change_is_a_line(s3, bucket, listen):
    one = listen(f"/{bucket}", ALL)
    assert one.status == 200 and one.answer.headers["Content-Type"] == "text/event-stream"
    key = "dir/with space+plus & ümläut"
    s3.put_object(Bucket=bucket, Key=key, Body=b"12345", Metadata={"who": "me"})
    assert one.next() == ("ObjectCreated:Put", bucket, key)  # as it is: webhooks have it encoded
    assert one.record["s3"]["object"]["size"] == 5
    assert one.record["s3"]["object"]["userMetadata"]["X-Amz-Meta-Who"] == "me"
    s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert one.next() == ("ObjectAccessed:Get", bucket, key)
    s3.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": key}, MetadataDirective="COPY")
    assert one.next()[0::2] == ("ObjectCreated:Copy", "b")
    s3.delete_object(Bucket=bucket, Key="b")
    assert one.next()[0::2] == ("ObjectRemoved:Delete", "b")


def test_only_what_was_asked_for(s3, bucket, make, main, listen):
    other = make()
    one = listen(f"/{bucket}", ["s3:ObjectCreated:*"], prefix="in/", suffix=".jpg")
    main.put_object(Bucket=other, Key="in/a.jpg", Body=b"")
    for key in ("in/a.png", "out/a.jpg", "in/a.jpg"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.delete_object(Bucket=bucket, Key="in/a.jpg")
    s3.put_object(Bucket=bucket, Key="in/b.jpg", Body=b"")
    assert [one.next() for _ in range(2)] == [("ObjectCreated:Put", bucket, k) for k in ("in/a.jpg", "in/b.jpg")]


def test_what_was_refused_is_not_told(s3, bucket, listen):
    one = listen(f"/{bucket}", ALL)
    s3.put_object(Bucket=bucket, Key="a", Body=b"first")
    refused = fault(s3.put_object, Bucket=bucket, Key="a", Body=b"second", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")
    assert refused == (400, "BadDigest")
    s3.put_object(Bucket=bucket, Key="end", Body=b"")
    assert [one.next()[2] for _ in range(2)] == ["a", "end"]


def test_all_buckets_for_administrators(s3, bucket, make, main, listen):
    other = make()
    one = listen("/", ["s3:ObjectCreated:Put"])
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    main.put_object(Bucket=other, Key="b", Body=b"")
    assert [one.next()[1:] for _ in range(2)] == [(bucket, "a"), (other, "b")]
    assert listen("/", ["s3:ObjectCreated:Put"], who="main").status == 403


def test_who_may(service, bucket, make, main, listen):
    assert listen(f"/{bucket}", ALL, who="main").status == 403
    own = make()
    one = listen(f"/{own}", ALL, who="main")
    main.put_object(Bucket=own, Key="a", Body=b"")
    assert one.next() == ("ObjectCreated:Put", own, "a")
    assert listen("/no-such-bucket", ALL).status == 404
    bad = listen(f"/{bucket}", ["s3:ObjectEaten:*"])
    assert bad.status == 400 and b"<Code>InvalidArgument</Code>" in bad.answer.read()


def test_many_listeners_and_many_events_in_order(s3, bucket, listen):
    many = [listen(f"/{bucket}", ["s3:ObjectCreated:*"]) for _ in range(12)]
    keys = [f"k{i:04}" for i in range(300)]

    def put():
        for key in keys:
            s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    writer = threading.Thread(target=put)
    writer.start()
    many[0].close()  # one goes in the middle
    for one in many[1:]:
        assert [one.next()[2] for _ in keys] == keys
    writer.join()


def test_one_too_many_is_told(tmp_path):
    service = Service(tmp_path)
    s3 = service.client()
    s3.create_bucket(Bucket="watched")
    many = [Listener(service, "/watched", ["s3:ObjectCreated:*"]) for _ in range(256)]
    assert {one.status for one in many} == {200}
    last = Listener(service, "/watched", ["s3:ObjectCreated:*"])
    assert last.status == 503 and b"256" in last.answer.read()
    many.pop().close()
    end = time.monotonic() + 20
    while last.status != 200:  # the place is free when the server had something to say and nobody took it
        assert time.monotonic() < end
        s3.put_object(Bucket="watched", Key="a", Body=b"")
        last.close()
        last = Listener(service, "/watched", ["s3:ObjectCreated:*"])
    for one in (*many, last):
        one.close()
    assert service.stop() == 0


def test_mc_watch(service, s3, bucket, mc, tmp_path):
    watch = mc.start("watch", "--prefix", "in/", "--events", "put,delete", f"o/{bucket}")
    try:
        told = []
        reader = threading.Thread(target=lambda: told.extend(json.loads(watch.stdout.readline()) for _ in range(2)))
        reader.start()
        end = time.monotonic() + 30  # mc does not say when it listens
        while reader.is_alive() and not told:
            assert time.monotonic() < end, watch.poll()
            s3.put_object(Bucket=bucket, Key="out/no", Body=b"")
            s3.put_object(Bucket=bucket, Key="in/ü b", Body=b"123")
            s3.delete_object(Bucket=bucket, Key="in/ü b")
            reader.join(0.3)
        reader.join(10)
        assert all("events" in t for t in told), told
        events = {t["events"]["type"] for t in told}
        assert events <= {"s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"} and len(told) == 2
        assert all(urllib.parse.unquote(t["events"]["path"]).endswith(f"/{bucket}/in/ü b") for t in told), told
    finally:
        watch.terminate()
        assert watch.wait(10) in (0, 1, -15, 130, 143)
