"""Runs one program on its tests as LiveCodeBench's own checker would, inside the box.

The rules are those of LiveCodeBench (MIT), lcb_runner/evaluation/testing_util.py, commit 28fef95e,
oddities included; the text is ours. Loaded before the box forks; main() runs in the fork, and does only
what needs the program: memory that is written to there is copied for every program. Standard input:
{"code", "fn": name or null, "timeout": seconds, "inputs": [text, ...]}. Standard output, one record after another, "KIND LENGTH\n" and as many bytes:

    out     what the program printed for the next test
    value   what its function returned, in the notation of pyvalue.h
    -3, -4  the next test ran out of time, or failed: why. The last record.
    end     all tests ran. The last record.

What is expected is not known here, so nothing in here can be asked for it; and whatever the program
does to this process, the worst it can report is an answer, which still has to be right.
"""

import ast
import builtins
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import types

STARS = """string re datetime collections heapq bisect copy math random statistics itertools functools
operator io sys json builtins typing""".split()
PLAIN = STARS[:16]  # up to json
PREAMBLE = (
    "".join("from %s import *\n" % name for name in STARS)
    + "".join("import %s\n" % name for name in PLAIN)
    + "sys.setrecursionlimit(50000)\n"
)
AFTER_PREAMBLE = "\n" * (PREAMBLE.count("\n") - 1) + "pass\n"  # as many lines, and no docstring or future behind
MAX_DEPTH = 200

# What the checker's guard takes away.
GONE = {
    "os": """kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames
        truncate replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown getcwd chdir""",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
    "builtins": "quit help",
}
GONE_MODULES = "ipdb joblib resource psutil tkinter".split()


class TimeoutException(Exception):
    pass


class Alarm:
    """Upstream's SIGALRM, wall clock as there; but time in which the process was ready to run and had
    no processor does not count, up to nine times the limit: the verdict is not the machine's load."""

    queue = None  # where the kernel tells that time

    def waited(self):
        try:
            return int(os.pread(self.queue, 96, 0).split()[1]) / 1e9
        except Exception:  # not counted here, or the program closed it
            return 0

    def set(self, seconds):
        self.seconds, self.given, self.before = seconds, 0, self.waited()
        signal.alarm(seconds)

    def on_signal(self, signum, frame):
        lost = min(self.waited() - self.before, 9 * self.seconds)
        if lost > self.given + 0.01:
            signal.setitimer(signal.ITIMER_REAL, lost - self.given)
            self.given = lost
            return
        print("the alarm went off")  # lands in what is being captured, as there
        raise TimeoutException


alarm = Alarm()


def take_away():
    os.environ["OMP_NUM_THREADS"] = "1"
    modules = {"os": os, "shutil": shutil, "subprocess": subprocess, "builtins": builtins}
    for name, members in GONE.items():
        for member in members.split():
            setattr(modules[name], member, None)
    for name in GONE_MODULES:
        sys.modules[name] = None


def prepare():
    """The state in which a program finds the process; the module it will fill, preamble done."""
    module = types.ModuleType("tmp_sol", "")
    sys.set_int_max_str_digits(50000)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    signal.signal(signal.SIGALRM, alarm.on_signal)
    take_away()
    exec(PREAMBLE, module.__dict__)
    sys.setrecursionlimit(1000)
    return module


# ---- the program's text ---------------------------------------------------------------------------


def without_guard(code):
    """The body of a last `if __name__ == '__main__':` in place of the statement."""
    if "__name__" not in code and code.isascii():  # other letters may stand for these
        return code
    try:
        body = ast.parse(code).body
        last = body[-1]
        if isinstance(last, ast.If) and ast.unparse(last.test).strip() == "__name__ == '__main__'":
            return ast.unparse(body[:-1]) + "\n" + ast.unparse(last.body)
    except BaseException:
        pass
    return code


def as_function(code):
    """All statements but imports become the body of wrapped_function. None: take the code as it is."""
    try:
        body = ast.parse(code).body
        is_import = lambda s: isinstance(s, (ast.Import, ast.ImportFrom))
        empty = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
        function = ast.FunctionDef(
            name="wrapped_function",
            args=empty,
            body=[s for s in body if not is_import(s)],
            decorator_list=[],
            lineno=-1,
        )
        imports = ast.unparse([s for s in body if is_import(s)])
        return AFTER_PREAMBLE + "\n" + imports + "\n" + ast.unparse(function)
    except Exception:
        return None


def load(code, module, timeout):
    alarm.set(timeout)
    try:
        compiled = compile(code, "<string>", "exec")
        if "setrecursionlimit" in module.__dict__:  # the last line of the preamble
            sys.setrecursionlimit(50000)
        exec(compiled, module.__dict__)
        # Also for programs that read standard input: there a class of that name is inside the
        # function by now, and not found.
        return module.Solution() if "class Solution" in code else module
    finally:
        signal.alarm(0)


# ---- what stands in for standard input ------------------------------------------------------------


class Bytes:
    def __init__(self, text):
        self.text = text.encode("utf-8")

    def read(self, *_):
        return self.text

    def readline(self, *_):
        return self.text.split(b"\n")[0] + b"\n"


class Stdin:
    def __init__(self, text):
        self.text = text
        self.lines = io.StringIO(text)
        self.buffer = Bytes(text)

    def read(self, *_):
        return self.text

    def readline(self, *a):
        return self.lines.readline(*a)

    def readlines(self, *_):
        return self.text.split("\n")

    def __getattr__(self, name):
        return getattr(self.lines, name)


def call_with_input(function, text):
    """sys.stdin is the stand-in. The stream that was there before, which a program may hold by
    `from sys import stdin`, answers too, with lines that have no newline."""
    real, real_open = sys.stdin, builtins.open
    lines = iter(text.split("\n"))
    answers = {
        "read": lambda *_: text,
        "readlines": lambda *_: text.split("\n"),
        "readline": lambda *_: next(lines),
    }

    def opened(*a, **k):
        from unittest.mock import mock_open

        builtins.open = mock_open(read_data=text)
        return builtins.open(*a, **k)

    for name, answer in answers.items():
        setattr(real, name, answer)
    sys.stdin, builtins.open = Stdin(text), opened
    try:
        function()
    except SystemExit:
        pass
    finally:
        sys.stdin, builtins.open = real, real_open
        for name in answers:
            delattr(real, name)


# ---- values ----------------------------------------------------------------------------------------


def plain(v):
    """A number of another kind as int or float if it is exactly one; else None."""
    for module, name in (("fractions", "Fraction"), ("decimal", "Decimal")):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(v, kind):
            try:
                return int(v) if v == int(v) else float(v) if v == float(v) else None
            except (ValueError, OverflowError):  # no whole number: NaN, infinity
                return float(v) if v == v else None
    if isinstance(v, complex) and v.imag == 0:
        return v.real
    return None


def put(out, v, depth=0):
    if v is None:
        out.append("null")
    elif v is True or v is False:
        out.append("true" if v else "false")
    elif isinstance(v, int):
        try:
            out.append(int.__repr__(v))
        except ValueError:
            out.append("?")
    elif isinstance(v, float):
        out.append(float.__repr__(v))
    elif isinstance(v, str):
        out.append(json.dumps(str.__str__(v)))
    elif depth == MAX_DEPTH:
        out.append("?")
    elif isinstance(v, (list, tuple)):
        kind = list if isinstance(v, list) else tuple
        out.append("[" if kind is list else "(")
        for i, x in enumerate(kind.__iter__(v)):
            if i:
                out.append(",")
            put(out, x, depth + 1)
        out.append("]" if kind is list else ")")
    elif isinstance(v, dict):
        if not all(isinstance(k, str) for k in dict.keys(v)):
            out.append("?")  # equals no JSON object
            return
        out.append("{")
        for i, (k, x) in enumerate(dict.items(v)):
            if i:
                out.append(",")
            put(out, k)
            out.append(":")
            put(out, x, depth + 1)
        out.append("}")
    elif plain(v) is not None:
        put(out, plain(v))
    else:
        out.append("?")


# ---- tests -----------------------------------------------------------------------------------------


class Report:
    def __init__(self, fd):
        self.fd = fd

    def add(self, kind, text="", write=os.write):
        data = text.encode("utf-8", "surrogatepass")
        left = memoryview(b"%s %d\n" % (kind.encode(), len(data)) + data)
        while left:
            left = left[write(self.fd, left) :]


class Rehearsal(Report):
    def add(self, kind, text=""):
        if kind[0] == "-":
            raise RuntimeError(text)
        super().add(kind, text)


def failure(e):
    why = repr(e)
    return ("-3" if "timeoutexception" in why.lower() else "-4"), why[:400]


def run_on_input(job, report, module):
    code = without_guard(job["code"])
    text = as_function(code)
    if text is None:
        text, module = code, types.ModuleType("tmp_sol", "")
    program = load(text, module, job["timeout"])
    for text in job["inputs"]:
        captured = io.StringIO()
        captured.close = lambda x: 1  # as there: close() without an argument fails
        saved, sys.stdout = sys.stdout, captured
        alarm.set(job["timeout"])
        failed = None
        try:
            call_with_input(program.wrapped_function, text)
        except Exception as e:
            failed = e
        finally:
            signal.alarm(0)
            sys.stdout = saved
        if failed is not None:
            report.add(*failure(failed))
            return
        report.add("out", captured.getvalue())
    report.add("end")


def run_function(job, report, module):
    solution = load(AFTER_PREAMBLE + "\n\n" + job["code"], module, job["timeout"])
    method = getattr(solution, job["fn"])
    arguments = [[json.loads(line) for line in text.split("\n")] for text in job["inputs"]]
    for args in arguments:
        alarm.set(job["timeout"])
        try:
            value = method(*args)
            signal.alarm(0)
            if isinstance(value, tuple):
                value = list(value)
        except Exception as e:
            signal.alarm(0)
            report.add(*failure(e))
            return
        finally:
            signal.alarm(0)
        out = []
        put(out, value)
        report.add("value", "".join(out))
    report.add("end")


def run(order, report, module):
    job = json.loads(order)
    (run_on_input if job["fn"] is None else run_function)(job, report, module)


REHEARSAL = """
from math import gcd
def total(a, b=0):
    '''Of two.'''
    return [x for x in (a, b) if x % 2] or {1: "a"}
class A:
    def m(self, x): return self.k + -x
a, b = map(int, input().split())
for i in range(2):
    while a > b and not i: a -= 1
if __name__ == "__main__":
    print(f"{a} {b}", a + b)
"""


def rehearse():
    """Specialises the code that every program runs through, and fills its caches, before the fork
    and not after every fork."""
    report = Rehearsal(os.open("/dev/null", os.O_WRONLY))
    for code, fn, text in (REHEARSAL, None, "3 4\n"), (REHEARSAL.partition("a, b =")[0], "total", "3\n4"):
        order = json.dumps({"code": code, "fn": fn, "timeout": 60, "inputs": [text] * 3}).encode()
        for _ in range(12):
            module = types.ModuleType("tmp_sol", "")
            module.__dict__.update(prepared.__dict__)
            run(order, report, module)
    os.close(report.fd)
    sys.setrecursionlimit(1000)


def main():
    order = os.read(0, os.fstat(0).st_size)
    report = Report(os.dup(1))
    try:
        alarm.queue = os.open("/proc/self/schedstat", os.O_RDONLY)
    except OSError:
        pass
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    try:
        run(order, report, prepared)
    except Exception as e:
        report.add("-4", "Error during testing: " + repr(e)[:400])
    exit_now(0)  # threads that the program left behind do not keep the box


exit_now = os._exit
prepared = prepare()
rehearse()
