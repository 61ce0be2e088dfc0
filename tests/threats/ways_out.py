"""Ways out of the fence, as hostile code of a repository tries them: from Python, and past it through the C library.

The text runs inside, so it imports the standard library alone. ``tried(world)`` returns by name what came of each way:
``refused …`` or ``GOT …``. ``world`` says where the things outside are that must stay out of reach.
"""

ATTEMPTS = r"""
import ctypes, errno, json, os, platform, resource, signal, socket, struct, sys

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = platform.machine() == "x86_64"
NUMBERS = {
    "keyctl": (250, 219), "bpf": (321, 280), "perf": (298, 241), "io_uring": (425, 425), "vm_readv": (310, 270),
    "pidfd_open": (434, 434), "pidfd_signal": (424, 424), "pidfd_getfd": (438, 438), "clone": (56, 220),
    "handle": (304, 265), "clone3": (435, 435),
    "userfaultfd": (323, 282), "fanotify": (300, 262), "setns": (308, 268), "shmget": (29, 194), "kcmp": (312, 272),
    "fchmodat": (268, 53), "open_tree": (428, 428), "mount_setattr": (442, 442), "memfd": (319, 279),
}


def c(name, *arguments):
    result = getattr(LIBC, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def call(name, *arguments):
    wide = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name][0 if X86 else 1]), *wide)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def native_read(path):
    return os.read(c("open", os.fsencode(path), 0), 10)


def through_link(path):
    os.symlink(path, "way-out")
    try:
        return native_read("way-out")
    finally:
        os.unlink("way-out")


def hard_link(path):
    c("link", os.fsencode(path), b"second-name")
    return native_read("second-name")


def moved_out(path):
    open("mine", "w").close()
    return c("rename", b"mine", os.fsencode(path))


def mode_of(path):
    before = os.stat(path).st_mode
    c("chmod", os.fsencode(path), 0o777)
    if os.stat(path).st_mode == before:
        raise PermissionError("nothing changed")


def times_of(path):
    before = os.stat(path).st_mtime
    c("utimes", os.fsencode(path), None)
    if os.stat(path).st_mtime == before:
        raise PermissionError("nothing changed")


def inet(kind, port):
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + bytes([127, 0, 0, 1]) + bytes(8)
    handle = c("socket", 2, kind, 0)
    if kind == 1:
        c("connect", handle, address, 16)
    return c("sendto", handle, b"x", 1, 0, address, 16)


def unix(kind, name):
    address = struct.pack("=H", 1) + name
    return c("connect", c("socket", 1, kind, 0), address, len(address))


def by_python(family, kind, address):
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(address)
        one.send(b"x")


def vm_read(pid):
    room = ctypes.create_string_buffer(8)
    local = struct.pack("PN", ctypes.addressof(room), 8)
    remote = struct.pack("PN", 0x400000, 8)
    return call("vm_readv", pid, local, 1, remote, 1, 0)


def everybody(name):
    for pid in (one for one in os.listdir("/proc") if one.isdigit()):
        try:
            text = open(f"/proc/{pid}/{name}", "rb").read()
        except OSError:
            continue
        if b"A-SECRET-OF-AN-ANCESTOR" in text:
            return pid
    raise PermissionError("no process shows it")


def rights():
    said = dict(line.split(":\t") for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
    if said["NoNewPrivs"] != "1" or int(said["CapEff"], 16) or int(said["CapPrm"], 16):
        return said
    raise PermissionError("no rights and none to gain")


def become_root():
    if os.getuid() == 0:
        raise PermissionError("root without rights, measured elsewhere")
    return c("setuid", 0)


def disk():
    c("mknod", b"disk", 0o60600, os.makedev(254, 0))
    return native_read("disk")


def ways(world):
    secret, outside, victim = world["secret"], world["outside"], world["victim"]
    yield "read a file", lambda: open(secret).read()
    yield "read a file natively", lambda: native_read(secret)
    yield "read a file through a link", lambda: through_link(secret)
    yield "give a file a second name", lambda: hard_link(secret)
    yield "list a folder", lambda: os.listdir(outside)
    yield "write a file", lambda: open(outside + "/new", "w").write("x")
    yield "create a file natively", lambda: c("creat", os.fsencode(outside + "/native"), 0o644)
    yield "make a folder", lambda: c("mkdir", os.fsencode(outside + "/folder"), 0o755)
    yield "remove a file", lambda: c("unlink", os.fsencode(secret))
    yield "truncate a file", lambda: c("truncate", os.fsencode(secret), 0)
    yield "move a file in", lambda: c("rename", os.fsencode(secret), b"moved")
    yield "move a file out", lambda: moved_out(outside + "/mine")
    yield "change a mode", lambda: mode_of(secret)
    yield "change an owner", lambda: c("chown", os.fsencode(secret), 12345, 12345)
    yield "change times", lambda: times_of(world["old"])
    yield "change an attribute", lambda: c("setxattr", os.fsencode(secret), b"user.x", b"y", 1, 0)
    yield "the passwords of this machine", lambda: native_read("/etc/shadow")
    yield "the host's ssh keys", lambda: os.listdir("/etc/ssh")
    yield "a home", lambda: os.listdir(world["home"])
    for path in world["private"]:
        yield "read " + path, lambda path=path: native_read(path) if os.path.isfile(path) else os.listdir(path)
    yield "an environment", lambda: native_read(f"/proc/{victim}/environ")
    yield "any environment", lambda: everybody("environ")
    yield "a memory", lambda: c("open", f"/proc/{victim}/mem".encode(), 0)
    yield "a folder of a process", lambda: os.listdir(f"/proc/{victim}/cwd")
    yield "a file through a process", lambda: native_read(f"/proc/{victim}/root{secret}")
    yield "open files of a process", lambda: os.listdir(f"/proc/{victim}/fd")
    yield "memory by a system call", lambda: vm_read(victim)
    yield "trace a process", lambda: c("ptrace", 0x4206, victim, None, None)
    yield "compare processes", lambda: call("kcmp", os.getpid(), victim, 0, 0, 0)
    yield "a file of a process", lambda: call("pidfd_getfd", call("pidfd_open", victim, 0), 0, 0)
    yield "signal a process", lambda: os.kill(victim, signal.SIGTERM)
    yield "signal a process natively", lambda: c("kill", victim, 15)
    yield "signal by a handle", lambda: call("pidfd_signal", call("pidfd_open", victim, 0), 15, None, 0)
    yield "limit a process", lambda: resource.prlimit(victim, resource.RLIMIT_NOFILE, (3, 3))
    yield "connect", lambda: by_python(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", world["tcp"]))
    yield "connect natively", lambda: inet(1, world["tcp"])
    yield "send a datagram", lambda: by_python(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", world["udp"]))
    yield "send a datagram natively", lambda: inet(2, world["udp"])
    yield "a raw socket", lambda: c("socket", 2, 3, 1)
    yield "a packet socket", lambda: c("socket", 17, 3, 0x300)
    yield "a socket of the kernel", lambda: c("socket", 16, 3, 0)
    yield "a socket to the host of a machine", lambda: c("socket", 40, 1, 0)
    yield "a Unix socket", lambda: by_python(socket.AF_UNIX, socket.SOCK_STREAM, world["unix"])
    yield "a Unix socket natively", lambda: unix(1, os.fsencode(world["unix"]) + b"\0")
    yield "an abstract socket", lambda: by_python(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + world["abstract"])
    yield "an abstract socket natively", lambda: unix(1, b"\0" + world["abstract"].encode())
    yield "a Unix datagram", lambda: c("socket", 1, 2, 0)
    yield "a namespace", lambda: c("unshare", 0x10000000)
    yield "another's namespace", lambda: call("setns", 0, 0)
    yield "a mount", lambda: c("mount", b"none", b".", b"tmpfs", 0, None)
    yield "a copy of a mount", lambda: call("open_tree", -100, b"/", 1)
    yield "a change of a mount", lambda: call("mount_setattr", -100, b"/", 0, bytes(32), 32)
    yield "another root", lambda: c("chroot", b".")
    yield "keys of the kernel", lambda: call("keyctl", 0, -3, 1)
    yield "a program in the kernel", lambda: call("bpf", 5, bytes(120), 120)
    yield "performance counters", lambda: call("perf", bytes([0, 0, 0, 0, 112]) + bytes(107), 0, -1, -1, 0)
    yield "a ring of calls", lambda: call("io_uring", 4, ctypes.create_string_buffer(120))
    yield "faults of pages", lambda: call("userfaultfd", 1)
    yield "watching all files", lambda: call("fanotify", 0, 0)
    yield "shared memory of the system", lambda: call("shmget", 0, 4096, 0o1600)
    yield "a file by its handle", lambda: call("handle", -100, struct.pack("Ii", 8, 1) + bytes(8), 0)
    yield "a disk", disk
    yield "the kernel's log", lambda: native_read("/dev/kmsg")
    yield "rights of an administrator", rights
    yield "to become root", become_root


def programs(world):
    yield "a program", lambda: __import__("subprocess").run(["/bin/sh", "-c", "true"], check=True)
    yield "a program by the shell", lambda: 0 if os.system("true") == 0 else (_ for _ in ()).throw(PermissionError())
    yield "a program by spawning", lambda: os.posix_spawn("/bin/true", ["true"], {})
    yield "a process", os.fork
    yield "a process natively", lambda: c("fork")
    yield "a process by a system call", lambda: call("clone", 17, 0, 0, 0, 0)
    yield "a process by a newer system call", lambda: call("clone3", struct.pack("8Q", 0, 0, 0, 0, 17, 0, 0, 0), 64)
    yield "a program past Python", fork_exec
    yield "to become a program", lambda: c("execv", b"/bin/true", (ctypes.c_char_p * 2)(b"true", None))


def fork_exec():
    import _posixsubprocess

    reading, writing = os.pipe()
    failed, failing = os.pipe()
    rest = (-1, None, None, None, -1, None, *([True] if sys.version_info < (3, 14) else []))
    _posixsubprocess.fork_exec([b"/bin/sh", b"-c", b"echo started"], [b"/bin/sh"], True, (writing, failing), None, None,
                               -1, -1, -1, writing, -1, writing, failed, failing, False, False, *rest)
    os.close(writing), os.close(failing)
    said = os.read(reading, 99)
    if not said:
        raise PermissionError("it started nothing")
    return said


def tried(world, also=()):
    me = os.getpid()
    found = {}
    for source in (ways, *also):
        for name, way in source(world):
            try:
                found[name] = "GOT " + repr(way())[:80]
            except (OSError, ValueError, AttributeError, MemoryError, TypeError) as error:
                found[name] = f"refused {type(error).__name__} {error}"[:120]
            if os.getpid() != me:
                os._exit(0)
    return found
"""
