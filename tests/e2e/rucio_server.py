"""A real Rucio server over SQLite, for tests. Run by a Python that has `rucio`: rucio_server.py FOLDER PORT

It reads from standard input one JSON object with "rses": {NAME: {"scheme", "hostname", "port", "prefix"} or null for one
without protocols} and "tokens": texts that are the access tokens of the account "ana", who owns the scopes "ana" and
"lab". When it serves it prints a line."""
import datetime
import json
import os
import pathlib
import sys

CONFIG = """
[common]
loglevel = INFO
[database]
default = sqlite:///{folder}/rucio.db
[policy]
permission = generic
schema = generic
lfn2pfn_algorithm_default = hash
"""


def fill(wanted):
    from rucio.common.types import InternalAccount, InternalScope
    from rucio.core import account as accounts, account_limit, rse as rses, scope as scopes
    from rucio.db.sqla import models
    from rucio.db.sqla.constants import AccountType
    from rucio.db.sqla.session import get_engine, get_session
    from rucio.db.sqla.util import create_base_vo, create_root_account

    models.register_models(get_engine())
    create_base_vo()
    create_root_account()
    session = get_session()()
    ana = InternalAccount("ana")
    accounts.add_account(ana, AccountType.USER, "ana@example.org", session=session)
    for name in ("ana", "lab"):
        scopes.add_scope(InternalScope(name), ana, session=session)
    for name, place in wanted["rses"].items():
        made = rses.add_rse(name, session=session)
        account_limit.set_local_account_limit(ana, made, 10 ** 12, session=session)
        if place:
            every = {"read": 1, "write": 1, "delete": 1}
            rses.add_protocol(made, dict(place, impl="rucio.rse.protocols.webdav.Default",
                                         domains={"lan": every, "wan": dict(every, third_party_copy_read=0,
                                                                            third_party_copy_write=0)}), session=session)
    for token in wanted["tokens"]:
        session.add(models.Token(token=token, account=ana, identity="ana", ip="127.0.0.1", refresh_lifetime=0,
                                 expired_at=datetime.datetime.utcnow() + datetime.timedelta(days=1)))
    session.commit()
    session.close()


def main():
    folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    (folder / "rucio.cfg").write_text(CONFIG.format(folder=folder))
    os.environ["RUCIO_CONFIG"] = str(folder / "rucio.cfg")
    fill(json.loads(sys.stdin.readline()))
    from rucio.web.rest.flaskapi.v1.main import application
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    server = make_server("127.0.0.1", port, application, threaded=True)
    print("ready", flush=True)
    server.serve_forever()


main()
