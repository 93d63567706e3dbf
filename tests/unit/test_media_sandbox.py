"""Decoding in a confined process: what a codec that was taken over can do there, and what it costs."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from codec_stand_in import codec_stand_in, program
from heic import heic
from mutations import mutant, photo, seeds
from PIL import Image
from wait import wait_until

from imseek.errors import MediaError
from imseek.media import bounds, codec_check, pillow
from imseek.media.decode import Limits, decode
from imseek.media.sandbox import confinement, pool, seccomp, worker
from imseek.media.sandbox.kinds import KINDS, PICTURES

pytestmark = pytest.mark.slow

#: What each mechanism is worth without the others.
ALONE = {
    "all": "",
    "seccomp": """
        from imseek.media.sandbox import confinement, landlock
        landlock.version = lambda: 0
        confinement._NAMESPACES = 0  # which succeeds, and does nothing
    """,
    "Landlock and namespaces": """
        from imseek.media.sandbox import seccomp
        seccomp.is_available = lambda: False
    """,
}
LAYERS = {
    "all": {confinement.SECCOMP, confinement.LANDLOCK, confinement.NAMESPACES},
    "seccomp": {confinement.SECCOMP, confinement.NAMESPACES},
    "Landlock and namespaces": {confinement.LANDLOCK, confinement.NAMESPACES},
}

Attack = Callable[[str], str]


def outcome(data: bytes, **options: object) -> str:
    """The message of the MediaError, which ends in the words of the program's own error."""
    with pytest.raises(MediaError) as caught:
        decode(data, **options)  # type: ignore[arg-type]
    return f"{caught.value.reason}: {caught.value}"


@pytest.fixture
def attack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Attack]:
    """Runs a program in the place of a codec; what it was refused comes back."""
    with codec_stand_in(monkeypatch, tmp_path / "codec"):
        yield lambda text: outcome(program(textwrap.dedent(text)))


@pytest.fixture(params=ALONE)
def attack_on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Attack]:
    """The same where one mechanism has to do."""
    setup = textwrap.dedent(ALONE[request.param])
    with codec_stand_in(monkeypatch, tmp_path / "codec", setup=setup):
        layers = pool.survey(PICTURES).layers
        if not LAYERS[request.param] <= set(layers):
            pytest.skip(f"this kernel has only {layers}")
        assert set(layers) == LAYERS[request.param]
        yield lambda text: outcome(program(textwrap.dedent(text)))


def children() -> set[int]:
    """The workers of this process, which may have children of other tests.

    Found by their parent: lists by thread lack the children of a thread that ends meanwhile.
    """
    found = set()
    for process in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        with suppress(OSError):
            is_child = f"\nPPid:\t{os.getpid()}\n" in Path(f"/proc/{process}/status").read_text()
            if is_child and b"imseek.media.sandbox" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.add(process)
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def is_alive(process: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


# --- what it may not ----------------------------------------------------------------------------------------


def test_a_codec_reads_no_file(attack_on: Attack, tmp_path: Path) -> None:
    secret = tmp_path / "id_ed25519"
    secret.write_text("the key")
    for text in (
        f"raise ValueError(open({str(secret)!r}).read())",
        f"raise ValueError(os.listdir({str(tmp_path)!r}))",
        "raise ValueError(open('/proc/self/environ').read())",
        f"raise ValueError(os.read(os.open({str(secret)!r}, os.O_RDONLY), 99))",
    ):
        message = attack_on(text)
        assert message.endswith(("Operation not permitted", "Permission denied")) or (
            "Operation not permitted: '" in message or "Permission denied: '" in message
        ), message
        assert "the key" not in message


def test_a_codec_writes_no_file(attack_on: Attack, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    names = sorted(path.name for path in tmp_path.iterdir())
    for text in (
        f"open({str(canary)!r}, 'w').write('x')",
        f"os.open({str(canary)!r}, os.O_RDWR | os.O_TRUNC)",
        f"open({str(tmp_path / 'new')!r}, 'w').write('x')",
        f"os.unlink({str(canary)!r})",
        f"os.rename({str(canary)!r}, {str(tmp_path / 'moved')!r})",
        f"os.symlink('/etc/passwd', {str(tmp_path / 'link')!r})",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
    ):
        message = attack_on(text)
        assert "[Errno 1]" in message or "[Errno 13]" in message, message
    assert canary.read_text() == "alive"
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_codec_reaches_no_network(attack_on: Attack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for text in (
            f"socket.create_connection(('127.0.0.1', {port}), 5).send(b'x')",
            f"s = socket.socket(); s.connect(('127.0.0.1', {port}))",
            f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
        ):
            message = attack_on(text)
            assert "corrupt: broken HEIC data: [Errno" in message, message
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_codec_reaches_no_socket_of_this_machine(attack_on: Attack, tmp_path: Path) -> None:
    name = b"\0imseek-test-" + os.urandom(8)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        server.settimeout(0.2)
        assert "[Errno" in attack_on(f"socket.socket(socket.AF_UNIX).connect({name!r})")
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_codec_signals_nobody(attack_on: Attack) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        assert "[Errno 1]" in attack_on(f"os.kill({bystander.pid}, signal.SIGKILL)")
        assert "[Errno 1]" in attack_on(f"os.kill({os.getpid()}, signal.SIGTERM)")
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize(
    "text",
    [
        "os.fork()",
        "os.execv('/bin/true', ['true'])",
        "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)",
        "socket.socketpair()",
        "os.memfd_create('m')",
        "os.pidfd_open(os.getpid())",
        "os.setpriority(os.PRIO_PROCESS, 0, 5)",
    ],
)
def test_a_codec_makes_no_process_and_no_code(attack: Attack, text: str) -> None:
    assert attack(text) == "corrupt: broken HEIC data: [Errno 1] Operation not permitted"


def test_system_calls_are_refused_below_python_too(attack: Attack) -> None:
    names = ("ptrace", "process_vm_readv", "setrlimit", "bpf", "io_uring_setup", "mount", "unshare")
    numbers = {
        "x86_64": (101, 310, 160, 321, 425, 165, 272),
        "aarch64": (117, 270, 164, 280, 425, 40, 97),
    }[os.uname().machine]
    for name, number in zip(names, numbers, strict=True):
        text = f"""
            libc = ctypes.CDLL(None, use_errno=True)
            raise ValueError(libc.syscall({number}, 0, 0, 0, 0, 0, 0), ctypes.get_errno())
        """
        assert attack(text).endswith("(-1, 1)"), name


def test_a_codec_inherits_nothing(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the key")
    monkeypatch.setenv("PYTHONSTARTUP", "/tmp/evil.py")
    allowed = {
        "OPENBLAS_NUM_THREADS",
        "GLIBC_TUNABLES",
        "LD_LIBRARY_PATH",
        "LC_CTYPE",
    }  # the last is Python's own
    stated = attack("raise ValueError(sorted(os.environ))").rpartition(": ")[2]
    assert set(ast.literal_eval(stated)) <= allowed
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.set_inheritable(theirs.fileno(), True)
        pool.close()
        found = attack(
            """
            open_ones = []
            for number in range(256):
                try:
                    os.fstat(number)
                except OSError:
                    continue
                open_ones.append(number)
            raise ValueError(len(open_ones))
            """
        )
    # The null device three times, the socket for answers, and the pipe by which its end is seen.
    assert found.endswith("broken HEIC data: 5")
    assert attack("raise ValueError(sys.flags.isolated, sys.flags.no_site)").endswith("(1, 1)")


def test_threads_of_a_codec_start(attack: Attack) -> None:
    text = """
        threads = [threading.Thread(target=runs.append, args=(n,)) for n in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        raise ValueError(sorted(runs))
    """
    assert attack(text).endswith("[0, 1, 2, 3]")


# --- limits, crashes ----------------------------------------------------------------------------------------


def test_memory_is_limited(attack: Attack) -> None:
    assert attack("bytearray(8 << 30)") == "too_many_pixels: not enough memory to decode the image"
    small = outcome(program("bytearray(2 << 30)"), limits=Limits(max_pixels=10_000))
    assert small == "too_many_pixels: not enough memory to decode the image"


def test_processor_time_is_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setup = "from imseek.media.sandbox import kinds; object.__setattr__(kinds.PICTURES, 'seconds', 1)"
    with codec_stand_in(monkeypatch, tmp_path, setup=setup):
        assert outcome(program("while True: pass")).startswith("timeout: decoding it takes more than")
        deaf = "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
        assert outcome(program(deaf)).startswith("timeout: the HEIC decoder was killed")
        assert decode(program("")).pixels[0, 0].tolist() == [255, 0, 0]


def test_time_by_the_clock_is_limited(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PICTURE_SECONDS", 1.0)
    started = time.monotonic()
    assert attack("time.sleep(60)") == "timeout: decoding it took more than 1 seconds"
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(9)"
    assert attack(deaf).startswith("timeout: ")
    assert time.monotonic() - started < 20
    assert decode(program("")).pixels[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os._exit(7)", "corrupt: the HEIC decoder ended with status 7"),
        ("os._exit(0)", "corrupt: the HEIC decoder ended with status 0"),
        ("ctypes.string_at(0)", "corrupt: the HEIC decoder was killed by SIGSEGV"),
        ("os.abort()", "corrupt: the HEIC decoder was killed by SIGABRT"),
        ("raise SystemExit", "corrupt: the HEIC decoder ended with status 1"),
    ],
)
def test_a_crash_costs_one_picture_and_no_worker(attack: Attack, text: str, expected: str) -> None:
    assert decode(program("")).facts.width == 16
    (before,) = children()
    assert attack(text) == expected
    assert decode(program("")).facts.width == 16
    assert children() == {before}


def test_a_decoder_killed_in_the_middle_costs_one_picture(attack: Attack) -> None:
    assert decode(program("")).facts.width == 16
    (own,) = children()

    def kill() -> None:
        path = Path(f"/proc/{own}/task/{own}/children")
        wait_until(lambda: bool(path.read_text().strip()))
        time.sleep(0.3)
        os.kill(int(path.read_text()), signal.SIGKILL)

    with ThreadPoolExecutor(1) as executor:
        done = executor.submit(kill)
        assert attack("time.sleep(30)").startswith("timeout: the HEIC decoder was killed")
        done.result()
    assert decode(program("")).facts.width == 16


def test_a_worker_killed_in_the_middle_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with codec_stand_in(monkeypatch, tmp_path):
        assert decode(program("")).facts.width == 16
        (own,) = children()
        with ThreadPoolExecutor(1) as executor:
            done = executor.submit(decode, program("time.sleep(1)"))
            time.sleep(0.5)
            os.kill(own, signal.SIGKILL)
            assert done.result().facts.width == 16
        assert own not in children()


def test_a_decoder_does_not_last(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a decoder over meets few pictures of others: of large ones, none."""
    monkeypatch.setattr(worker, "DECODER_SHARE", 10.0)
    text = "runs.append(1)\nraise ValueError(len(runs))"
    counts = [int(attack(text).rpartition(" ")[2]) for _ in range(40)]
    assert max(counts) == worker.DECODER_PICTURES == 16
    assert counts[:17] == [*range(1, 17), 1]
    pool.close()
    large = "runs.append(1)\npicture = Image.new('L', (4032, 3024), len(runs))"
    levels = [decode(program(large), min_side=16).pixels[0, 0, 0] for _ in range(3)]
    assert levels == [1, 1, 1]
    # Nor one that has worked for long: its limit of processor time is to be there for the next picture.
    pool.close()
    monkeypatch.setattr(worker, "DECODER_SHARE", 0.0)
    assert [int(attack(text).rpartition(" ")[2]) for _ in range(3)] == [1, 1, 1]


def test_a_codec_that_answers_for_itself_is_not_believed(attack: Attack) -> None:
    """In the place of the decoder's answer it writes one of its own, then waits for what happens."""
    for answer in (b"\x02\xff\xff\xff\xff", b"\x09\0\0\0\x02{}", b"\x02\x02\0\0\0{}", b"\x02\x04\0\0\0null"):
        text = f"""
            for number in range(3, 64):
                try:
                    os.write(number, {answer!r})
                except OSError:
                    pass
            time.sleep(30)
        """
        assert attack(text).startswith("corrupt: the HEIC decoder returned an invalid answer")
        assert decode(program("")).facts.width == 16


# --- workers ------------------------------------------------------------------------------------------------


def test_eight_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool.close()
    files = [heic(photo(96 + 16 * n, 64)) for n in range(8)]
    expected = [pillow.read(data, "HEIC", min_side=None, max_pixels=10**6) for data in files]
    with ThreadPoolExecutor(8) as executor:
        found = list(executor.map(decode, files * 4))
    for one, (pixels, facts) in zip(found, expected * 4, strict=True):
        assert np.array_equal(one.pixels, pixels)
        assert one.facts == facts
    assert 1 <= len(children()) <= 8
    pool.close()
    assert children() == set()


def test_nothing_is_left_of_two_hundred_pictures(attack: Attack) -> None:
    assert decode(program("")).facts.width == 16
    processes, open_before = children(), descriptors()
    for number in range(200):
        if number % 5 == 4:
            assert attack("ctypes.string_at(0)").endswith("SIGSEGV")
        else:
            assert decode(program("")).facts.width == 16
    assert children() == processes
    assert descriptors() <= open_before + 1  # a decoder may be there or not
    pool.close()
    assert children() == set()


def test_a_fork_of_this_process_has_workers_of_its_own(attack: Attack) -> None:
    assert decode(program("")).facts.width == 16
    (own,) = children()
    lock = pool._pool._lock
    lock.acquire()  # as another thread may hold it at that moment
    process = os.fork()
    if process == 0:
        code = 1
        signal.alarm(60)
        try:
            code = 0 if decode(program("")).facts.width == 16 and len(children() - {own}) == 1 else 2
            pool.close()
        finally:
            os._exit(code)
    lock.release()
    assert os.waitpid(process, 0)[1] == 0
    assert decode(program("")).facts.width == 16
    assert children() == {own}


PROGRAM = """
import os, sys, threading, time
sys.path.insert(0, {tests!r})
from heic import heic
from PIL import Image
from imseek.media.decode import decode
data = heic(Image.new("RGB", (64, 64)))
decode(data)
with open(f"/proc/self/task/{{os.getpid()}}/children") as file:
    print(file.read(), flush=True)
"""


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
        "threading.Thread(target=lambda: [decode(data) for _ in range(10**6)], daemon=True).start(); time.sleep(.3)",
        "os.fork() or time.sleep(3); os._exit(0)",
    ],
)
def test_workers_end_with_their_process(ending: str) -> None:
    script = PROGRAM.format(tests=str(Path(__file__).parents[1])) + ending
    with subprocess.Popen([sys.executable, "-W", "error", "-c", script], stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        (own,) = map(int, process.stdout.readline().split())
        assert process.wait(60) in (0, -signal.SIGKILL)
        assert b"Traceback" not in process.stderr.read()
    wait_until(lambda: not is_alive(own))


def test_the_end_of_the_thread_that_started_a_worker_is_not_its_own(attack: Attack) -> None:
    thread = threading.Thread(target=decode, args=(program(""),))
    thread.start()
    thread.join()
    (own,) = children()
    time.sleep(0.1)
    assert decode(program("")).facts.width == 16
    assert children() == {own}


def test_an_idle_worker_is_ended_when_another_comes_back(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(decode, [program("time.sleep(.5)")] * 2))
    assert len(children()) == 2
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0.0)
    decode(program(""))
    assert len(children()) == 0


def test_an_interrupt_leaves_no_answer_for_the_next_picture(attack: Attack) -> None:
    assert decode(program("")).facts.width == 16
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            decode(program("time.sleep(1); picture = Image.new('RGB', (32, 32))"))
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert decode(program("")).facts.width == 16


def test_a_worker_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setup = "from imseek.media.sandbox import landlock; landlock.restrict = lambda _: 1 / 0"
    with codec_stand_in(monkeypatch, tmp_path, setup=setup):
        message = outcome(program(""))
        assert message.startswith("unreadable: HEIC images are decoded in a separate process, which does not")
        assert message.endswith("ZeroDivisionError: division by zero")
        assert "ZeroDivisionError" in codec_check.codec_refusals()["HEIC"]
        assert not codec_check.codecs()["HEIC"]
    assert children() == set()


def test_a_decoder_that_cannot_be_confined_sees_no_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setup = """
def refuse(**_): raise OSError("no")
from imseek.media.sandbox import seccomp; seccomp.restrict = refuse
"""
    with codec_stand_in(monkeypatch, tmp_path, setup=setup):
        message = outcome(program("raise ValueError('seen')"))
        assert message == "missing_codec: the HEIC decoder could not be confined here"


def test_a_large_picture_waits_for_its_turn(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_LARGE", 200)
    with ThreadPoolExecutor(1) as executor:
        with bounds._one_at_a_time:
            done = executor.submit(decode, program(""))
            time.sleep(1)
            assert not done.done()
        assert done.result().facts.width == 16


# --- every format -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", seeds())
def test_untrusted_pictures_of_every_format_come_out_the_same(name: str) -> None:
    for data in seeds()[name]:
        for side in (None, 20):
            confined = decode(data, min_side=side, limits=Limits(untrusted=True))
            pixels, facts = pillow.read(data, name, min_side=side, max_pixels=10**6)
            assert np.array_equal(confined.pixels, pixels)
            assert confined.pixels.flags.writeable
            assert confined.pixels.flags.c_contiguous
            assert confined.facts == facts


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_imports_all_that_it_will_need(kind: str) -> None:
    """Confined, it could not: a picture would count as broken."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from imseek.media.sandbox import kinds, worker_main
from imseek.media.sandbox.kinds import kind_of
kind = kinds.KINDS[{kind!r}]
assert worker_main.load(kind) == {{}}
loaded = set(sys.modules)
from mutations import mutant, seeds
del sys.modules["mutations"]
files = [(n, d) for n, ds in seeds().items() if kind_of(n) == kind for d in ds]
files += [(n, mutant(n, i, seeds()[n])) for n in seeds() if kind_of(n) == kind for i in range(40)]
helpers = set(sys.modules) - loaded
from imseek.errors import MediaError
from imseek.media import pillow
for name, data in files:
    try:
        pillow.read(data, name, min_side=20, max_pixels=10**6)
    except MediaError:
        pass
print(*sorted(set(sys.modules) - loaded - helpers))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_text_query_knows_nothing_of_all_this() -> None:
    script = "import sys, imseek.media.decode; print(*(n for n in sys.modules if 'sandbox' in n or n == 'PIL'))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# --- the filter ---------------------------------------------------------------------------------------------

HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_of_system_calls_are_those_of_the_kernel(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("no headers of the kernel (linux-libc-dev)")
    stated = {}
    for line in HEADERS[machine].read_text().splitlines():
        match line.split():
            case ["#define", name, number] if name.startswith("__NR") and number.isdecimal():
                stated[name.removeprefix("__NR3264_").removeprefix("__NR_")] = int(number)
    stated["newfstatat"] = stated.get("newfstatat", stated.get("fstatat", -1))
    own = seccomp._ANY | seccomp._READING
    own |= {"mmap": seccomp._MMAP, "mprotect": seccomp._MPROTECT, "clone": seccomp._CLONE}
    own |= {"clone3": seccomp._CLONE3, "tgkill": seccomp._TGKILL, "openat": seccomp._OPENAT}
    at = seccomp._MACHINES.index(machine)
    assert {name: numbers[at] for name, numbers in own.items()} == {name: stated[name] for name in own}


def test_a_mutant_is_refused_and_the_next_picture_read() -> None:
    data = seeds()["HEIC"][0]
    for number in range(20):
        with suppress(MediaError):
            decode(mutant("HEIC", number, [data]))
    assert decode(data).facts.format == "HEIC"
    assert Image.fromarray(decode(data).pixels).size == (64, 96)
