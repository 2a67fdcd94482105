"""check.py MANIFEST RESULTS CANARY: are the verdicts those of the manifest, did nothing escape?"""
import json
import sys

manifest = json.load(open(sys.argv[1]))
text = open(sys.argv[2]).read()
bad = []
results = {}
for line in text.splitlines():
    r = json.loads(line)
    results[r["id"], r["run"]] = r
if sys.argv[3] in text:
    bad.append("the canary is in the results")
for p in manifest["programs"]:
    for run in range(p.get("repeat", 1)):
        r = results.pop((p["id"], run), None)
        if r is None:
            bad.append("%s run %d: no result" % (p["id"], run))
        elif r["verdict"] not in p["expected_verdicts"]:
            bad.append("%s run %d: %s (%s), want %s; %r %r" % (
                p["id"], run, r["verdict"], r.get("detail", ""), "|".join(p["expected_verdicts"]),
                r["stdout"][:200], r.get("stderr", "")[-300:] + r.get("compiler", "")[:300]))
        elif "ESCAPED" in r["stdout"]:
            bad.append("%s run %d: %s" % (p["id"], run, r["stdout"][:200]))
        elif r["wall_ms"] - r.get("waited_ms", 0) > p["limits"]["wall_ms"] + 3000:
            bad.append("%s run %d: took %d ms" % (p["id"], run, r["wall_ms"]))
bad += ["%s run %d: nobody asked" % key for key in results]
print("\n".join(bad) if bad else "%d programs as expected" % len(manifest["programs"]))
sys.exit(bool(bad))
