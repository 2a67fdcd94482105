# server.py: trusted text that runs programs; it has seen no byte of them when it forks.
#
# A process costs what it touches: every object that is looked at has its count of references written,
# and so its page copied. What can be done before the fork is done there, and after it as little as may be.
#
#   server.py fork MODULES …         one process a test (fork.c); what to run comes at descriptor 3:
#                                    a line "FUNCTION EXIT", then the program
#   server.py fresh "" FUNCTION EXIT one test; the program is /box/main.py
#
# FUNCTION: the name for a functional problem, or "-". EXIT 1: SystemExit is a normal end whatever its
# code. preamble.py, when there, runs before the program, in its namespace; runner.py in its place,
# with the program's bytes in __program__.
import gc
import io
import json
import os
import sys
import threading
from atexit import _run_exitfuncs

box = sys.argv[0].rpartition("/")[0]
mode, modules, fn_name, exit_is_fine = sys.argv[1:5]
sys.argv = [box + "/main.py"]
for name in ("LD_PRELOAD", "LD_BIND_NOW"):
    os.environ.pop(name, None)
main = type(sys)("__main__")
main.__file__ = box + "/main.py"
main.__builtins__ = __builtins__
sys.setrecursionlimit(1000 + 4)  # the frames of this file do not count


def read(source):
    with open(source, "rb") as file:
        return file.read()


for name in modules.split(","):
    if name:
        try:
            __import__(name)
        except ImportError:
            pass
if os.path.exists(box + "/preamble.py"):
    exec(compile(read(box + "/preamble.py"), "preamble.py", "exec"), main.__dict__)
runner = compile(read(box + "/runner.py"), "runner.py", "exec") if os.path.exists(box + "/runner.py") else None
last_name = next(reversed(main.__dict__))  # what comes after it is the program's


def start(names):
    """Runs the program, whose text is not kept: what looks for an answer in memory finds nothing."""
    global program
    text, program = program, None
    if runner is None:
        text = compile(text, main.__file__, "exec", dont_inherit=True)
        exec(text, names)
    else:
        names["__program__"] = text
        exec(runner, names)


def call(names, name, write=os.write, dup=os.dup, dup2=os.dup2):
    """A functional problem: arguments from standard input, one JSON value a line; the result goes
    to the descriptor that standard output was, whatever the program does to sys.stdout."""
    loads, dumps = json.loads, json.JSONEncoder().encode
    read = sys.stdin.buffer.read
    private = dup(1)
    null = os.open("/dev/null", os.O_WRONLY)
    dup2(null, 1)
    os.close(null)
    start(names)
    arguments = [loads(line) for line in read().decode("utf-8").split("\n") if line.strip()]
    solution = names.get("Solution")
    function = getattr(solution(), name) if solution is not None else names[name]
    if len(arguments) == 1 and type(arguments[0]) is list and len(arguments[0]) > 1:
        arguments = spread(function, arguments)
    value = function(*arguments)
    left = memoryview(dumps(value).encode("utf-8") + b"\n")
    while left:
        left = left[write(private, left):]


def spread(function, arguments):
    """All arguments in one array, for a function that wants exactly as many as it holds."""
    try:
        code = getattr(function, "__func__", function).__code__
        n = code.co_argcount - (1 if hasattr(function, "__func__") else 0)
    except AttributeError:
        return arguments
    return arguments[0] if n == len(arguments[0]) else arguments


def status_of(error):
    if exit_is_fine == "1" or error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(str(error.code) + "\n")
    return 1


def run():
    try:
        if fn_name != "-":
            call(main.__dict__, fn_name)
        else:
            start(main.__dict__)
    except SystemExit as error:
        return status_of(error)
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == box + "/server.py":
            trace = trace.tb_next
        sys.excepthook(type(error), error, trace)
        return 1
    return 0


def drop_objects():
    """What the end of an interpreter would do to objects with a __del__, and to open files."""
    values = main.__dict__
    names = []
    for name in reversed(values):
        if name is last_name:
            break
        names.append(name)
    for name in names:
        value = values[name]
        if type(value) is type(len):  # print = open(1, "w").write
            value = value.__self__
        if isinstance(value, io.IOBase) and not value.closed:
            value.flush()
    if any(isinstance(values[name], type) and "__del__" in values[name].__dict__ for name in names):
        for name in names:
            if not isinstance(values[name], (type, type(run), type(sys))):
                values[name] = None
        gc.collect()


def finish(status, end=os._exit):
    try:
        if len(threading._active) > 1:
            threading._shutdown()
        _run_exitfuncs()
        drop_objects()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    for name in ("stdout", "stderr", "__stdout__"):
        stream = getattr(sys, name, None)
        try:
            stream.flush()
        except BaseException:
            is_lost = name == "stdout" and stream is not None and not stream.closed
            status = status or (120 if is_lost else 0)
    end(status)


def receive():
    """What to run, which is at descriptor 3."""
    left, pieces = os.fstat(3).st_size, []
    while left > 0:
        pieces.append(os.read(3, left))
        left = left - len(pieces[-1]) if pieces[-1] else 0
    os.close(3)
    return b"".join(pieces)


sys.modules["__main__"] = main
if mode == "fork":
    reseed = super(sys.modules["random"].Random, sys.modules["random"]._inst).seed
    gc.collect()
    gc.freeze()
    os.getppid()  # returns in a fresh process only, once for every test (fork.c)
    reseed()
    head, _, program = receive().partition(b"\n")
    fn_name, exit_is_fine = head.decode().split()
else:
    program = read(sys.argv[0])
finish(run())
