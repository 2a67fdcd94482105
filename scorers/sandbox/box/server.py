# server.py: trusted text that runs programs; it has seen no byte of them when it forks.
#
#   server.py fork MODULES …         one process a test (fork.c); what to run comes at descriptor 3:
#                                    a line "FUNCTION EXIT", then the program
#   server.py fresh "" FUNCTION EXIT one test; the program is /box/main.py
#
# FUNCTION: the name for a functional problem, or "-". EXIT 1: SystemExit is a normal end whatever its
# code. preamble.py, when there, runs before the program, in its namespace; runner.py in its place,
# with the program's bytes in __program__.
import gc
import json
import os
import sys
import threading
from atexit import _run_exitfuncs

box = sys.argv[0].rpartition("/")[0]
mode, modules, fn_name, exit_is_fine = sys.argv[1:5]
sys.argv = [box + "/main.py"]
os.environ.pop("LD_PRELOAD", None)
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
    """What the end of an interpreter would do to objects with a __del__."""
    values = main.__dict__
    if any(isinstance(v, type) and "__del__" in v.__dict__ for v in values.values()):
        for name in [n for n, v in values.items() if not isinstance(v, (type, type(run), type(sys)))]:
            values[name] = None
        gc.collect()


def finish(status, end=os._exit):
    try:
        threading._shutdown()
        _run_exitfuncs()
        drop_objects()
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            status = status or (120 if stream is sys.stdout and not stream.closed else 0)
    end(status)


if mode == "fork":
    gc.collect()
    gc.freeze()
    os.fork()  # returns in a fresh process only, once for every test
    head, _, program = read(3).partition(b"\n")
    fn_name, exit_is_fine = head.decode().split()
else:
    program = read(sys.argv[0])
sys.modules["__main__"] = main
finish(run())
