# Looks for the expected value in frames and objects.
import gc, sys
def f(n):
    found = []
    frame = sys._getframe()
    while frame is not None:
        found += [v for v in list(frame.f_locals.values()) + list(frame.f_globals.values()) if isinstance(v, (str, bytes, int))]
        frame = frame.f_back
    for o in gc.get_objects():
        if isinstance(o, dict):
            found += [v for v in list(o.values()) if isinstance(v, (str, bytes, int))]
    return "ESCAPED" if any(str(v).find("918273645") >= 0 for v in found) else 0
