#!/usr/bin/env bash
# The benign programs of the catalogue do the same under bubblewrap, a sandbox of others, as in our
# boxes: what ours adds does not get into the way of honest programs.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$here/integration/sandbox_lib.sh"
need_sandbox
command -v bwrap >/dev/null || { skip "bubblewrap is not here"; exit 77; }
bwrap --unshare-all --ro-bind / / true 2>"$work/err" || { skip "bubblewrap makes no box here: $(head -1 "$work/err")"; exit 77; }

manifests=("$here/sandbox/manifest.json")
[ -n "${AS_SHARED:-}" ] && [ -f "$AS_SHARED/sandbox-samples/manifest.json" ] && manifests+=("$AS_SHARED/sandbox-samples/manifest.json")
for manifest in "${manifests[@]}"; do
  assay exec --manifest "$manifest" >"$work/ours" 2>"$work/err" || fail "exec: $(head -1 "$work/err")"
  python3 - "$manifest" "$work" >"$work/compared" <<'PY' || fail "$(cat "$work/compared")"
import json, os, resource, subprocess, sys

manifest, work = sys.argv[1:]
box = ("bwrap --unshare-all --die-with-parent --new-session --clearenv --ro-bind /usr /usr --symlink usr/bin /bin "
       "--symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --chdir /tmp "
       "--setenv PATH /usr/bin:/bin --setenv LANG C.UTF-8 --setenv HOME /tmp --setenv PYTHONHASHSEED 0").split()
ours = {}
for line in open(work + "/ours"):
    r = json.loads(line)
    ours.setdefault(r["id"], r)
n, bad = 0, []
for p in json.load(open(manifest))["programs"]:
    # attacks need our walls; functional problems our wrapper; what runs into a limit bubblewrap has none of
    ended_well = ours[p["id"]]["verdict"] in ("accepted", "wrong_answer")
    if not p["what"].lower().startswith("benign") or p.get("mode") == "functional" or not (ended_well or ours[p["id"]]["verdict"] == "runtime_error"):
        continue
    source = os.path.join(os.path.dirname(manifest), p["file"])
    if p["language"] == "cpp":
        program = work + "/program"
        subprocess.run(["g++", "-std=gnu++17", "-O2", "-o", program, source], check=True)
        command = box + ["--ro-bind", program, "/box/p", "/box/p"]
    else:
        command = box + ["--ro-bind", source, "/box/main.py", "/usr/bin/python3", "-s", "-B", "-X", "utf8", "/box/main.py"]
    stack = p["limits"].get("stack_mb", 256) << 20
    theirs = subprocess.run(command, input=p.get("stdin", "").encode(), capture_output=True, timeout=120,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (stack, stack)))
    text, out = theirs.stdout.decode("utf-8", "replace"), ours[p["id"]]["stdout"]
    n += 1
    if (theirs.returncode == 0) != ended_well or (text != out and not (len(out) > 1000 and text.startswith(out))):
        bad.append("%s: under bubblewrap exit %d, %r %r; ours %s, %r" % (
            p["id"], theirs.returncode, text[:200], theirs.stderr[-200:], ours[p["id"]]["verdict"], out[:200]))
print("\n".join(bad + ["%d programs compared" % n]))
sys.exit(bool(bad) or n < 3)
PY
  cat "$work/compared"
done
finish
