#!/usr/bin/env python3
"""Writes datasets/samples/{livecodebench,codeforces}-*: a dozen original problems (Apache-2.0, like
the rest), their tests, and recorded answers that show every verdict. Deterministic; run it in the
repository's root after a change and commit what it wrote.

    python3 tests/tools/make_program_samples.py
"""
import base64
import json
import pickle
import random
import zlib
from collections import deque

OUT = "datasets/samples/"
rng = random.Random(20250301)


# ---- the problems: statement, reference solution, inputs -------------------------------------------

def kettle(text):
    n, k = map(int, text.split())
    return str(-(-n // k))


def paint(text):
    n, a, b = map(int, text.split())
    return str(sum((i % a == 0) != (i % b == 0) for i in range(1, n + 1)))


def echo(text):
    out = []
    for w in text.split():
        if not out or out[-1] != w:
            out.append(w)
    return " ".join(out)


def shelves(text):
    v = list(map(int, text.split()))
    n, length, books = v[0], v[1], v[2:]
    left, used, count = 2, 0, 0
    for w in books[:n]:
        if used + w > length:
            left, used = left - 1, 0
        if left == 0 or w > length:
            break
        used += w
        count += 1
    return str(count)


def lamps(text):
    s = [int(c) for c in text.split()[1]]
    count = 0
    for i in range(len(s) - 2):
        if not s[i]:
            count += 1
            for k in range(3):
                s[i + k] ^= 1
    return str(count if all(s) else -1)


def ferries(text):
    v = list(map(int, text.split()))
    events = []
    for a, b in zip(v[1::2], v[2::2]):
        events += [(a, 1), (b, -1)]
    most = now = 0
    for _, d in sorted(events):
        now += d
        most = max(most, now)
    return str(most)


def subtrees(text):
    v = list(map(int, text.split()))
    n = v[0]
    parent, value = [0] + v[1:n], v[n : 2 * n]
    total = value[:]
    for i in range(n - 1, 0, -1):
        total[parent[i] - 1] += total[i]
    return " ".join(map(str, total))


def courier(text):
    lines = text.split("\n")
    h, w = map(int, lines[0].split())
    grid = lines[1 : 1 + h]
    doors = [(r, c) for r in range(h) for c in range(w) if grid[r][c] == "*"]
    seen = {(0, 0): 0}
    queue = deque(seen)
    while queue:
        r, c = queue.popleft()
        near = [(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)]
        near += doors if grid[r][c] == "*" else []
        for p in near:
            if 0 <= p[0] < h and 0 <= p[1] < w and grid[p[0]][p[1]] != "#" and p not in seen:
                seen[p] = seen[(r, c)] + 1
                queue.append(p)
    return str(seen.get((h - 1, w - 1), -1))


def cuts(text):
    v = list(map(int, text.split()))
    n, k, m = v[:3]
    sums = [0]
    for x in v[3 : 3 + n]:
        sums.append((sums[-1] + x) % k)
    count, answer = {}, 0
    for i in range(m, n + 1):
        count[sums[i - m]] = count.get(sums[i - m], 0) + 1
        answer += count.get(sums[i], 0)
    return str(answer)


def merge_runs(runs):
    out = []
    for a, b in sorted(runs):
        if out and a <= out[-1][1]:
            out[-1][1] = max(out[-1][1], b)
        else:
            out.append([a, b])
    return out


def longest_zigzag(nums):
    best = now = 1 if nums else 0
    for i in range(1, len(nums)):
        up = nums[i] - nums[i - 1]
        before = nums[i - 1] - nums[i - 2] if i > 1 else 0
        now = 1 if up == 0 else now + 1 if now > 1 and up * before < 0 else 2
        best = max(best, now)
    return best


def fair_split(weights, parts):
    low, high = max(weights), sum(weights)
    while low < high:
        mid, used, now = (low + high) // 2, 1, 0
        for w in weights:
            if now + w > mid:
                used, now = used + 1, 0
            now += w
        low, high = (low, mid) if used <= parts else (mid + 1, high)
    return low


def numbers(n, low, high):
    return " ".join(str(rng.randint(low, high)) for _ in range(n))


def tree(n, is_path=False):
    parents = [str(i if is_path else rng.randint(1, i)) for i in range(1, n)]
    return "%d\n%s\n%s\n" % (n, " ".join(parents), numbers(n, -1000, 1000))


def maze(h, w, walls):
    rows = [[rng.choices(".#*", (100 - walls, walls, 2))[0] for _ in range(w)] for _ in range(h)]
    rows[0][0] = rows[-1][-1] = "."
    return "%d %d\n%s\n" % (h, w, "\n".join(map("".join, rows)))


STDIN = [
    ("kettle", "Kettle", "easy", 800, 500, kettle,
     "A kettle holds water for k cups. How many times must it boil to fill n cups?\n\nInput: n and k "
     "(1 to 10^18).\nOutput: the number of boils.",
     ["7 3\n", "6 3\n", "1 1000000000000000000\n", "1000000000000000000 1\n", "999999999999999999 2\n"]),
    ("paint", "Stair Paint", "easy", 900, 750, paint,
     "Of the steps 1 to n of a staircase, Ada paints every a-th and Ben every b-th. Count the steps that "
     "exactly one of them painted.\n\nInput: n, a and b (1 to 10^5).\nOutput: the count.",
     ["10 2 3\n", "10 5 5\n", "1 1 2\n", "100000 7 11\n", "99999 1 3\n"]),
    ("echo", "Echo", "easy", 900, 1000, echo,
     "In a cave every word may come back several times at once. Print the sentence with each run of equal "
     "words written once.\n\nInput: one line of at most 1000 words of lower-case letters.\nOutput: the "
     "words, with one blank between them.",
     ["hello hello you you you hello\n", "a\n", "a b a b\n",
      " ".join(rng.choice(["go", "on", "no"]) for _ in range(300)) + "\n"]),
    ("shelves", "Two Shelves", "medium", 1100, 1250, shelves,
     "Books arrive in a fixed order. Each is put on the first shelf until one does not fit any more; from "
     "then on on the second, until one does not fit there. How many books are put up? Both shelves have "
     "the length L.\n\nInput: n and L, then n widths (n up to 10^5, all numbers up to 10^9).\nOutput: the "
     "number of books.",
     ["5 10\n4 5 3 7 1\n", "1 1\n2\n", "3 5\n5 5 5\n", "1000 20000\n%s\n" % numbers(1000, 1, 90),
      "4 1000000000\n1000000000 1 999999999 1\n"]),
    ("lamps", "Lamp Line", "medium", 1300, 1500, lamps,
     "n lamps stand in a line. A switch at lamp i (i up to n - 2) turns i, i + 1 and i + 2 over. Find the "
     "smallest number of switches that leaves all lamps on, or -1.\n\nInput: n (3 to 10^5), then n digits, "
     "1 for a lamp that is on.\nOutput: the number.",
     ["5\n10101\n", "3\n000\n", "4\n1110\n", "3\n111\n",
      "2000\n" + "".join(rng.choice("01") for _ in range(2000)) + "\n", "6\n000000\n"]),
    ("ferries", "Ferries", "medium", 1300, 1750, ferries,
     "Each crossing keeps a ferry from minute a up to, and not including, minute b. How many ferries does "
     "the harbour need?\n\nInput: n (up to 10^5), then n pairs a b (0 <= a < b <= 10^9).\nOutput: the "
     "smallest number of ferries.",
     ["3\n0 10\n5 15\n10 20\n", "1\n0 1\n", "4\n1 5\n1 5\n1 5\n5 6\n",
      "500\n" + "\n".join("%d %d" % (a, a + rng.randint(1, 400)) for a in
                          (rng.randint(0, 5000) for _ in range(500))) + "\n"]),
    ("subtrees", "Subtree Sums", "medium", 1500, 2000, subtrees,
     "A tree with root 1 has a number at every vertex. Print for each vertex the sum over its subtree.\n\n"
     "Input: n (1 to 2·10^5), the parents of the vertices 2 to n (each smaller than its child; an empty "
     "line for n = 1), then the n numbers.\nOutput: n sums.",
     ["3\n1 1\n1 2 3\n", "1\n\n5\n", tree(200), tree(3000, True), tree(5000)]),
    ("courier", "Courier", "hard", 1600, 2250, courier,
     "A courier walks from the upper left to the lower right corner of a grid, one cell up, down, left or "
     "right a minute. # is a wall, * a door; from a door every other door is one minute away. How many "
     "minutes does it take?\n\nInput: h and w (up to 200), then h lines of w characters . # *; both corners "
     "are '.'. At most 300 doors.\nOutput: the minutes, or -1.",
     ["3 3\n..#\n.#.\n#..\n", "1 1\n.\n", "3 4\n..#*\n*###\n....\n", maze(30, 40, 20), maze(60, 60, 35)]),
    ("cuts", "Even Cuts", "hard", 1700, 2500, cuts,
     "Count the pieces of at least m consecutive numbers whose sum is divisible by k.\n\nInput: n, k and m "
     "(m <= n <= 2·10^5, k <= 10^9), then n numbers from -10^9 to 10^9.\nOutput: the count.",
     ["5 3 2\n1 2 3 4 5\n", "1 1 1\n0\n", "4 2 1\n1 1 1 1\n", "3000 7 10\n%s\n" % numbers(3000, -50, 50),
      "20000 5 1\n%s\n" % numbers(20000, -9, 9)]),
]

FUNCTIONS = [
    ("merge_runs", "Merge Runs", "easy", "mergeRuns", merge_runs,
     "Runs [a, b] of whole numbers (a <= b) that share a number are one run. Return the merged runs in "
     "rising order.",
     "class Solution:\n    def mergeRuns(self, runs: List[List[int]]) -> List[List[int]]:\n        ",
     [([[1, 3], [2, 5], [7, 7]],), ([[4, 4]],), ([],), ([[5, 9], [1, 5]],),
      ([sorted((rng.randint(0, 900), rng.randint(0, 900))) for _ in range(40)],)]),
    ("longest_zigzag", "Longest Zigzag", "medium", "longestZigzag", longest_zigzag,
     "A zigzag is a stretch of neighbouring numbers that rise and fall in turn. Return the length of the "
     "longest one; a single number is one of length 1.",
     "class Solution:\n    def longestZigzag(self, nums: List[int]) -> int:\n        ",
     [([1, 3, 2, 4, 4],), ([7],), ([2, 2, 2],), ([1, 2, 3],), ([rng.randint(0, 9) for _ in range(500)],)]),
    ("fair_split", "Fair Split", "hard", "fairSplit", fair_split,
     "Cut the list of positive weights into at most `parts` stretches so that the heaviest is as light as "
     "possible. Return its weight.",
     "class Solution:\n    def fairSplit(self, weights: List[int], parts: int) -> int:\n        ",
     [([7, 2, 5, 10, 8], 2), ([1], 1), ([3, 3, 3], 3), ([1, 4, 4], 3),
      ([rng.randint(1, 10000) for _ in range(2000)], 17)]),
]


# ---- programs ----------------------------------------------------------------------------------------

PY = {
    "kettle": "n, k = map(int, input().split())\nprint((n + k - 1) // k)",
    "paint": "import sys\ninput = sys.stdin.readline\nn, a, b = map(int, input().split())\n"
             "c = sum(1 for i in range(1, n + 1) if (i % a == 0) != (i % b == 0))\nprint(c)",
    "echo": "from itertools import groupby\n\ndef main():\n    print(*[w for w, _ in "
            "groupby(input().split())])\n\nif __name__ == '__main__':\n    main()",
    "ferries": "import sys\nfrom sys import stdin\nn = int(stdin.readline())\ne = []\nfor _ in range(n):\n"
               "    a, b = map(int, stdin.readline().split())\n    e.append((a, 1))\n    e.append((b, -1))\n"
               "e.sort()\nm = s = 0\nfor _, d in e:\n    s += d\n    m = max(m, s)\nprint(m)",
    "cuts": "import sys\ndef solve():\n    d = sys.stdin.buffer.read().split()\n    n, k, m = int(d[0]), "
            "int(d[1]), int(d[2])\n    s = [0]\n    for x in d[3:3 + n]:\n        s.append((s[-1] + int(x)) % k)\n"
            "    c = {}\n    r = 0\n    for i in range(m, n + 1):\n        c[s[i - m]] = c.get(s[i - m], 0) + 1\n"
            "        r += c.get(s[i], 0)\n    print(r)\nsolve()",
    "merge_runs": "class Solution:\n    def mergeRuns(self, runs: List[List[int]]) -> List[List[int]]:\n"
                  "        out = []\n        for a, b in sorted(runs):\n            if out and a <= out[-1][1]:\n"
                  "                out[-1] = [out[-1][0], max(b, out[-1][1])]\n            else:\n"
                  "                out.append([a, b])\n        return out",
}


def block(code, tag="python"):
    return "```%s\n%s\n```" % (tag, code)


LCB_ANSWERS = [
    ("own_kettle", "Round up.\n\n" + block(PY["kettle"])),
    ("own_paint", "<think>\n" + block("print(0)") + "\nno, count them\n</think>\n" + block(PY["paint"])),
    ("own_echo", block(PY["echo"]) + "\nThis keeps the first word of each run."),
    ("own_shelves", block("n, L = map(int, input().split())\nw = list(map(int, input().split()))\n"
                          "print(sum(1 for x in w if x <= L))") + "\n"),  # wrong
    ("own_lamps", block("n = int(input())\ns = input()\nwhile s.count('0'):\n    pass\nprint(0)")),  # slow
    ("own_ferries", block(PY["ferries"])),
    ("own_subtrees", block("n = int(input())\np = list(map(int, input().split()))\n"
                           "v = list(map(int, input().split()))\nprint(v[n])")),  # crashes
    ("own_courier", block("def walk(:\n    return 0\nprint(walk())")),  # does not compile
    ("own_cuts", block(PY["cuts"])),
    ("own_merge_runs", block(PY["merge_runs"])),
    ("own_longest_zigzag", "The longest zigzag can be found by one pass over the list."),  # no program
    ("own_fair_split", block("class Solution:\n    def fairSplit(self, weights, parts):\n"
                             "        return sum(weights) // parts")),  # wrong value
]

CPP = {
    "kettle": "#include <iostream>\nint main() {\n    long long n, k;\n    std::cin >> n >> k;\n"
              "    std::cout << (n + k - 1) / k << '\\n';\n}",
    "paint": "#include <cstdio>\nint main() {\n    int n, a, b, c = 0;\n    scanf(\"%d %d %d\", &n, &a, &b);\n"
             "    for (int i = 1; i <= n; i++) c += (i % a == 0) != (i % b == 0);\n    printf(\"%d\\n\", c);\n}",
    "lamps": "#include <iostream>\n#include <string>\nint main() {\n    int n, c = 0;\n    std::string s;\n"
             "    std::cin >> n >> s;\n    for (int i = 0; i + 2 < n; i++)\n        if (s[i] == '0') {\n"
             "            c++;\n            for (int k = 0; k < 3; k++) s[i + k] ^= 1;\n        }\n"
             "    std::cout << (s.find('0') == std::string::npos ? c : -1) << '\\n';\n}",
    "subtrees": "#include <cstdio>\n#include <vector>\nint main() {\n    int n;\n    scanf(\"%d\", &n);\n"
                "    std::vector<int> p(n);\n    std::vector<long long> v(n);\n"
                "    for (int i = 1; i < n; i++) scanf(\"%d\", &p[i]);\n    for (auto &x : v) scanf(\"%lld\", &x);\n"
                "    for (int i = n - 1; i > 0; i--) v[p[i] - 1] += v[i];\n"
                "    for (auto x : v) printf(\"%lld \", x);\n}",
}

CF_ANSWERS = [
    ("own_kettle", block(CPP["kettle"], "cpp"), block(CPP["kettle"], "cpp")),
    # whole numbers go wrong at first, then right
    ("own_paint", block(CPP["paint"].replace("!=", "=="), "cpp"), block(CPP["paint"], "cpp")),
    ("own_echo", block(PY["echo"], "python"), block("int main() { return missing; }", "cpp")),
    ("own_shelves", block("#include <vector>\nint main() {\n    std::vector<std::vector<char>> v;\n"
                          "    for (;;) v.emplace_back(1 << 20, 1);\n}", "cpp"),
     "I would put them up one after another."),
    ("own_lamps", block(CPP["lamps"]), block(CPP["lamps"], "cpp")),  # tagged as Python at first
    ("own_ferries", block("int main() {\n    volatile int x = 1;\n    while (x) {}\n}", "cpp"),
     block(PY["ferries"], "python")),
    ("own_subtrees", block("#include <cstdlib>\nint main() { abort(); }", "cpp"), block(CPP["subtrees"], "cpp")),
    ("own_courier", block("print(1)", "rust"), block("#include <cstdio>\nint main() { puts(\"-1\"); }", "cpp")),
    ("own_cuts", block(PY["cuts"], "python"), block(PY["cuts"], "python")),
]


# ---- writing -----------------------------------------------------------------------------------------

def cell(tests):
    text = json.dumps(tests)
    return base64.b64encode(zlib.compress(pickle.dumps(text, protocol=4), 9)).decode()


def write(name, rows):
    with open(OUT + name, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def lcb_row(i, name, title, difficulty, text, starter, fn, tests):
    kind = "functional" if fn else "stdin"
    tests = [{"input": a, "output": b, "testtype": kind} for a, b in tests]
    return {
        "question_title": title, "question_content": text, "platform": "own",
        "question_id": "own_" + name, "contest_id": "own%d" % (1 + i // 5),
        "contest_date": "2025-%02d-01T00:00:00" % (2 + i // 5), "starter_code": starter,
        "difficulty": difficulty, "public_test_cases": json.dumps(tests[:2]),
        "private_test_cases": json.dumps(tests[2:]) if i % 4 == 3 else cell(tests[2:]),
        "metadata": json.dumps({"func_name": fn} if fn else {}),
    }


def standings(top, n):
    rows = []
    for i in range(n):
        share = (n - i) / n
        rows.append([round(top * share * share / 50) * 50, 0, round(600 + 2000 * share + rng.randint(-150, 150))])
    return sorted(rows, key=lambda r: -r[0])


lcb, problems, contests = [], [], []
for i, (name, title, difficulty, rating, points, solve, text, inputs) in enumerate(STDIN):
    tests = [(x, solve(x) + "\n") for x in inputs]
    lcb.append(lcb_row(i, name, title, difficulty, text, "", None, tests))
    problems.append({
        "id": "own_" + name, "contest": "own%d" % (1 + i // 5), "index": "ABCDE"[i % 5], "title": title,
        "question": text, "points": points, "rating": rating, "time_limit_ms": 1000, "memory_mb": 256,
        "rule": "tokens", "tests": [{"input": a, "output": b} for a, b in tests],
    })
for i, (name, title, difficulty, fn, solve, text, starter, arguments) in enumerate(FUNCTIONS, len(STDIN)):
    tests = [("\n".join(json.dumps(x) for x in a), json.dumps(solve(*a))) for a in arguments]
    lcb.append(lcb_row(i, name, title, difficulty, text, starter, fn, tests))
contests.append({"id": "own1", "name": "first sample contest", "standings": standings(5000, 24)})
contests.append({"id": "own2", "name": "second sample contest", "standings": standings(8500, 240)})

write("livecodebench-12.jsonl", lcb)
write("livecodebench-12.answers.jsonl", [{"item": i, "response": r} for i, r in LCB_ANSWERS])
write("codeforces-9.problems.jsonl", problems)
write("codeforces-9.contests.jsonl", contests)
write("codeforces-9.answers.jsonl", [{"item": a[0], "response": r} for a in CF_ANSWERS for r in a[1:]])
