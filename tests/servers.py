"""Private database servers, from Debian's packages: in a temporary folder, on a socket in it, ended with the tests."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

# As people choose them: what has a meaning in a URL is written `%40` there.
PASSWORD = "p@ss:w/ö%rd?x=1"
USER, READER, WRITER = "keeper", "onlooker", "clerk"
START_SECONDS = 120


class Missing(Exception):
    """A server is not installed; the text says how it gets here."""


class Server(ABC):
    """A server that runs; each `database` is a new one, and `USER` its owner."""

    # The account that it runs as where the tests run as root, whom it refuses.
    account: str
    apt: str
    # What ends it without waiting for those who are connected.
    ends = signal.SIGTERM

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wb-", dir="/tmp"))  # short: it is part of a socket's address
        self.account = self.account if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            shutil.chown(self.folder, self.account)
        self._names = (f"wb{i}" for i in itertools.count())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make its files, start it, and wait until it answers."""
        self.make()
        self._process = subprocess.Popen(
            self._as(*self.command()),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.admin = sa.create_engine(self.admin_url(), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with self.admin.connect():
                    break
            except sa.exc.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{type(self).__name__}: {error}\n{self.log()}") from error
                time.sleep(0.1)
        self.accounts()

    def stop(self) -> None:
        """End it and remove its files."""
        if self._process is not None:
            self._process.send_signal(self.ends)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements as the server's administrator."""
        engine = self.admin
        if database is not None:
            engine = sa.create_engine(
                self.admin.url.set(database=database), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool
            )
        with engine.connect() as db:
            for statement in statements:
                db.exec_driver_sql(statement)

    def database(self) -> str:
        """Make a database and return its URL, as `USER` names it."""
        name = next(self._names)
        self.create(name)
        return self.url(name, USER)

    def as_user(self, url: str, user: str) -> str:
        """Return the URL of a database as another user names it."""
        return url.replace(f"://{USER}:", f"://{user}:")

    def log(self) -> str:
        """Return what the server said."""
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    def _as(self, *command: str) -> list[str]:
        # It ends with this process, however that ends.
        user = [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"] if os.getuid() == 0 else []
        return ["setpriv", *user, "--pdeathsig=TERM", *command]

    def _done(self, *command: str) -> None:
        done = subprocess.run(self._as(*command), cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def _tool(self, name: str, *folders: str) -> str:
        found = shutil.which(name, path=os.pathsep.join([*folders, os.environ["PATH"], "/usr/sbin"]))
        if found is None:
            raise Missing(f"{name} is not installed: apt-get install --no-install-recommends {self.apt}")
        return found

    @abstractmethod
    def make(self) -> None: ...

    @abstractmethod
    def command(self) -> list[str]: ...

    @abstractmethod
    def admin_url(self) -> str: ...

    @abstractmethod
    def accounts(self) -> None: ...

    @abstractmethod
    def create(self, name: str) -> None: ...

    @abstractmethod
    def url(self, database: str, user: str) -> str: ...

    @abstractmethod
    def let_read(self, url: str) -> None:
        """Let READER read the tables of a database, and WRITER read and change their rows."""


class PostgreSQL(Server):
    """PostgreSQL, its users' passwords kept as SCRAM."""

    account = "postgres"
    apt = "postgresql"
    ends = signal.SIGINT

    def make(self) -> None:
        bins = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
        self.postgres = self._tool("postgres", *bins)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        options = ["-D", "d", "-U", "admin", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=scram-sha-256"]
        self._done(self._tool("initdb", *bins), *options, "--pwfile=password")

    def command(self) -> list[str]:
        options = ["listen_addresses=", "unix_socket_permissions=0700", "fsync=off", "shared_buffers=16MB"]
        return [self.postgres, "-D", "d", "-k", str(self.folder), *(w for o in options for w in ("-c", o))]

    def admin_url(self) -> str:
        return self.url("postgres", "admin").replace("postgresql:", "postgresql+psycopg:")

    def accounts(self) -> None:
        for user in (USER, READER, WRITER):
            self.run(f"CREATE ROLE {user} LOGIN PASSWORD '{PASSWORD.replace('%', '%%')}'")

    def create(self, name: str) -> None:
        self.run(f"CREATE DATABASE {name} OWNER {USER}")

    def url(self, database: str, user: str) -> str:
        return f"postgresql://{user}:{quote(PASSWORD, safe='')}@/{database}?host={self.folder}"

    def let_read(self, url: str) -> None:
        name = str(sa.make_url(url).database)
        self.run(
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {READER}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {WRITER}",
            database=name,
        )


class MariaDB(Server):
    """MariaDB, whose databases have the collation latin1_swedish_ci where none is said."""

    account = "mysql"
    apt = "mariadb-server"

    def make(self) -> None:
        options = [
            "--no-defaults",
            f"--datadir={self.folder}/d",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        small = ["--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync"]
        self.mariadbd = self._tool("mariadbd")
        self._done(self._tool("mariadb-install-db"), *options, *small, f"--tmpdir={self.folder}")

    def command(self) -> list[str]:
        options = ["--no-defaults", f"--datadir={self.folder}/d", f"--socket={self.folder}/s", "--skip-networking"]
        small = ["--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M"]
        return [self.mariadbd, *options, *small, f"--tmpdir={self.folder}", f"--pid-file={self.folder}/pid"]

    def admin_url(self) -> str:
        return f"mysql+pymysql://root@/mysql?unix_socket={self.folder}/s"

    def accounts(self) -> None:
        for user in (USER, READER, WRITER):
            with self.admin.connect() as db:
                db.exec_driver_sql(f"CREATE USER {user}@localhost IDENTIFIED BY %s", (PASSWORD,))

    def create(self, name: str) -> None:
        self.run(f"CREATE DATABASE {name}", f"GRANT ALL ON {name}.* TO {USER}@localhost")

    def url(self, database: str, user: str) -> str:
        # Both names are in use for this server.
        dialect = "mariadb" if database.endswith(("0", "5")) else "mysql"
        return f"{dialect}://{user}:{quote(PASSWORD, safe='')}@/{database}?unix_socket={self.folder}/s"

    def let_read(self, url: str) -> None:
        name = sa.make_url(url).database
        self.run(f"GRANT SELECT ON {name}.* TO {READER}@localhost")
        self.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {WRITER}@localhost")


@contextlib.contextmanager
def running(kind: type[Server]) -> Iterator[Server]:
    """Give a server, and end it; raises Missing where it is not installed."""
    server = kind()
    try:
        server.start()
        yield server
    finally:
        server.stop()
