"""The program that runs a model's code; its text is given to a Python of its own (`-c`), which knows nothing else.

It reads a job from standard input, limits itself, writes a line to say that it begins, executes the code, calls its
function and writes what came out. What a kernel boundary forbids stays forbidden whatever the code does; the audit hook
in here is a jail for slips, and the same within every boundary, so that an answer comes to the same in all of them. It
holds no expected value: who can forge what is written here still has to know the results.
"""

import json
import os
import resource
import sys

REFUSED = (
    "socket.", "subprocess.", "ctypes.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.kill",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.putenv", "os.unsetenv", "os.chmod", "os.chown", "os.chflags",
    "os.lchmod", "os.lockf", "os.link", "os.symlink", "os.truncate", "os.utime", "os.chdir", "os.fchdir", "os.getxattr",
    "os.setxattr", "os.listxattr", "os.removexattr", "shutil.", "pty.", "signal.pthread_kill", "ftplib.", "http.",
    "urllib.", "sqlite3.", "fcntl.", "resource.", "syslog.", "gc.", "_thread.start", "sys.addaudithook",
    "sys._current_frames", "cpython.remote",
)  # fmt: skip
"""Beginnings of audit events."""

MODULES = frozenset({
    "_posixsubprocess", "_ctypes", "_dbm", "_gdbm", "readline", "_posixshmem", "_multiprocessing", "_testcapi",
    "_testinternalcapi", "_xxsubinterpreters", "_interpreters", "_remote_debugging",
})  # fmt: skip
"""Native modules whose functions start programs or open files without an audit event."""


def main() -> None:
    """Run the job on standard input."""
    job = json.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    os.close(nothing)
    _limit(job)
    if job.get("filter"):
        _filter(bytes.fromhex(job["filter"]))
    if job["guard"]:
        sys.addaudithook(_guard(os.path.dirname(os.__file__)))  # noqa: PTH120  # pathlib takes time to load
    sys.setrecursionlimit(500)
    # From here on, what is missing is the code's own doing; before, it is the machine's.
    os.write(out, b"began\n")
    answer = json.dumps(_results(job)).encode()
    while answer:
        answer = answer[os.write(out, answer) :]
    os._exit(0)


def _limit(job):
    """Processor seconds, memory, files: as soft limits and as hard ones, which cannot be raised again."""
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu"], job["cpu"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (job["memory"], job["memory"]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # of a user; the kernel minds it where that is not root


def _filter(program):
    """Have the kernel refuse the calls that `program` (seccomp instructions) refuses, where it can."""
    import ctypes

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    libc = ctypes.CDLL(None)
    no_new_privileges, seccomp, by_program = 38, 22, 2
    if libc.prctl(no_new_privileges, 1, 0, 0, 0) == 0:
        libc.prctl(seccomp, by_program, ctypes.byref(Program(len(program) // 8, program)), 0, 0)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ctypes", "_ctypes")]:
        del sys.modules[name]


def _guard(lib):
    """An audit hook that refuses other programs, the network, native code, threads, and every file but the standard
    library's, in the folder `lib`. All it uses is bound here: names that the code can reach are not looked up again."""
    whole = os.path.realpath(lib) + "/"

    def guard(
        event, args, refused=REFUSED, modules=MODULES, libs=(whole, lib + "/"), whole=whole, real=os.path.realpath,
        kind=type, text=str, error=PermissionError, reading=(None, "r", "rb"),
        harmless=os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY,
    ):  # fmt: skip
        if event.startswith(refused):
            raise error(event)
        if event == "import" and args[0] in modules:
            raise error("import")
        if event == "object.__setattr__" and args[0] is guard:
            raise error(event)
        if event in ("open", "os.listdir", "os.scandir"):
            path = args[0]
            # A subclass of str could say one path here and another one to the system.
            inside = kind(path) is text and (path + "/").startswith(libs) and "/../" not in path + "/"
            if not inside or "/site-packages" in path or "/dist-packages" in path:
                raise error(event)
            if not (real(path) + "/").startswith(whole):
                raise error(event)
            if event == "open" and (args[1] not in reading or (args[2] or 0) & ~harmless):
                raise error(event)

    return guard


def _results(job):
    """Per call `{"value": …}` as JSON holds it, or `{"error": name}`."""
    loads, dumps, kind = json.loads, json.dumps, type
    results, space = [], {"__name__": "answer"}
    try:
        exec(compile(job["code"], "answer.py", "exec"), space)  # noqa: S102  # what this program is for
        function = space[job["name"]]
    except BaseException as error:  # noqa: BLE001
        return [{"error": kind(error).__name__}] * len(job["calls"])
    for arguments in job["calls"]:
        try:
            # As JSON and at once, so that what a function returns cannot change later.
            results.append({"value": loads(dumps(function(*arguments)))})
        except BaseException as error:  # noqa: BLE001
            results.append({"error": kind(error).__name__})
    return results


if __name__ == "__main__":
    main()
