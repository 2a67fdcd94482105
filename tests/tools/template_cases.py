#!/usr/bin/env python3
"""Differential cases for engine/template: small templates and what transformers makes of them.

    pip install transformers jinja2
    python3 tests/tools/template_cases.py [--random N] [--seed S] > cases.jsonl

One JSON object a line: source, context (JSON text), then text, or error (the class Python raised).
Cases whose text holds an address, or an integer beyond 64 bits, are left out.
"""
import argparse
import json
import random
import re
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

CONTEXT = {
    "s": "Hello, World", "e": "", "w": "  padded \n", "u": "Straße ÄÖ İ ǆ Σας ΟΔΟΣ", "q": "it's \"q\"",
    "n": 7, "z": 0, "neg": -3, "f": 2.5, "g": 1.0, "big": 1e16, "tiny": 1e-7, "t": True, "no": False,
    "none": None, "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "nest": [[1, [2]], {"k": [None, 1.5]}],
    "d": {"b": 1, "A": 2, "a": {"x": [1, 2, {"y": "deep"}]}, "items": 5},
    "m": [{"role": "user", "content": "Hi", "n": 2}, {"role": "assistant", "content": "Yo", "n": 1},
          {"role": "user", "content": "Bye", "n": 3}],
    "lines": "one\ntwo\r\nthree\n\nfive", "html": "<a href='x'>&\"</a>", "num": " 42 ", "hex": "0x1F",
    "emoji": "a😀b\u00a0c\u200bd\x7f\x01", "mixed": [1, "a", 2.0, None, True],
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4 // 3 % 5 / 2
2 ** 3 ** 2
-2 ** 2
-1|abs
7 // -2
-7 // 2
-7 % 3
7 % -3
7.5 // 2
-7.5 % 2
1 / 3
10 / 5
1e400
0.1 + 0.2
1e15
1e16
123456789012345678.0
1e-4
1e-5
-0.0
2.5e10
1_000
0x1F + 0b11 + 0o17
1 / 0
1 % 0
1.5 // 0
0 ** -1
2 ** -1
True + True
n + f
n * 'ab'
'ab' * neg
[1, 2] * 2
(1,) * 3
'a' + 'b' ~ 'c' ~ 1 + 2
1 ~ none ~ true ~ 1.0 ~ [1, 'a'] ~ {'k': 'v'}
'a' + 1
1 + 'a'
[1] + (1,)
[1] + [2]
none + 1
'a' - 'b'
missing + 1
missing ~ 'x'
missing.attr
missing['x']
d.missing
d.missing.more
d['missing']
d.b
d['b']
d.items
d.items()
d['items']
d.keys()
d.values()
d.a.x[2].y
d.a.x.2.y
d.get('b')
d.get('zz')
d.get('zz', 'dflt')
d.pop('b')
d.update({})
l.append(1)
l.append
l.append is defined
l.__class__
s.__class__.__mro__
d._private
l[0] ~ l[-1]
l[5]
l[5] is defined
l['a']
l[1.0]
l[true]
s[0]
s[-1]
s[100]
s[1:4]
s[::-1]
s[-3:]
s[::2]
s[5:1]
s[5:1:-1]
s[-100:100]
l[::-1]
l[:-1]
l[10:]
l[::0]
u[::-1]
u[3:8]
emoji
emoji[1]
emoji[::-1]
[emoji]
emoji|length
(1, 2, 3)[1:]
range(5)
range(5)|list
range(2, 10, 3)|list
range(10, 0, -3)|list
range(0)|list
range(100001)
range(1, 2, 0)
range('a')
range(10)[2:5]
range(10)[3]
range(3) is sequence
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2 != 1
1 == 1.0 == true
'a' < 'b'
'a' < 1
[1, 2] < [1, 3]
[1] == (1,)
{'a': 1} == {'a': 1.0}
none == none
missing == missing
missing == none
missing != 1
missing < 1
none < 1
'ell' in s
'x' not in s
1 in s
1 in l
1.0 in l
'b' in d
[1] in d
3 in range(5)
'x' in missing
1 in none
1 in 5
not 1 in l
not none
not missing
1 and 2
0 and 2
0 or '' or 'x'
none or missing
1 if true
1 if false
(1 if false) is defined
1 if 0 else 2 if 0 else 3
'a' if missing else 'b'
[1, 2, 3,]
(1,)
()
[]
{}
{'a': 1, 'b': [1, {'c': none}], 1: 'x', none: true, 1.5: (1,)}
{'a': 1, 'a': 2}
{1: 'int', 1.0: 'float', true: 'bool'}
{[1]: 2}
1, 2
'a' 'b' "c"
'\n\t\\\'\x41\u00e9\U0001F600\101\q'
q
[q, "it's", 'say "hi"', 'both \' and "']
[s, n, f, g, big, tiny, t, none, missing]
nest
mixed
{'x': missing}
s|upper
s|lower
s|title
s|capitalize
u|upper
u|lower
u|title
u|capitalize
u.upper()
u.lower()
u.title()
u.capitalize()
u.swapcase()
u.casefold()
'they\'re bill\'s friends-and (foes) [x]'|title
'they\'re bill\'s friends'.title()
w|trim
w.strip()
w.lstrip()
w.rstrip()
'xxaxx'|trim('x')
'xyaxy'.strip('xy')
'xyaxy'.lstrip('x')
none|trim
5|upper
s.split()
s.split(',')
'a,b,,c'.split(',')
'a,b,,c'.split(',', 1)
'a b  c '.split(' ')
'  a b  c '.split()
'  a b  c '.split(none, 1)
'a,b,c'.rsplit(',', 1)
' a b c '.rsplit(none, 1)
'a,b,c'.split(',', maxsplit=1)
'a,b,c'.split(sep=',')
'abc'.split('')
lines.splitlines()
lines.splitlines(true)
s.startswith('Hell')
s.startswith(('x', 'H'))
s.endswith('ld')
s.endswith(['a'])
s.startswith('lo', 3)
s.find('o') ~ s.rfind('o') ~ s.find('zz')
s.index('o')
s.index('zz')
s.count('o')
s.count('')
'aaa'.count('aa')
'-'.join(ls)
'-'.join([1])
'-'.join('abc')
s.replace('o', '0')
s.replace('o', '0', 1)
s.replace('', '.')
s|replace('o', '0')
s|replace('o', '0', 1)
s|replace(1, 2)
'a.b'.partition('.')
'a.b.c'.rpartition('.')
'ab'.partition('.')
'ab'.rpartition('.')
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'ab'.center(7, '*')
'abc'.center(8, '*')
'ab'.ljust(5) ~ '|'
'ab'.rjust(5, '0')
'-42'.zfill(6)
'a\tb'.expandtabs(4)
'abc'.isalpha() ~ 'a1'.isalnum() ~ '1'.isdigit() ~ ''.isdigit() ~ '²'.isdigit() ~ '²'.isdecimal()
'Ab'.istitle() ~ 'AB'.isupper() ~ 'ab'.islower() ~ ' '.isspace() ~ '1'.islower()
'{} {}'.format(1, 'a')
'{0} {1} {0}'.format(1, 'a')
'{a} {b[0]} {b[1]} {d.x}'.format(a=1, b=[1, 2], d={'x': 3})
'{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:x}|{:,}'.format('a', 'b', 'c', 42, 3.14159, 255, 1234567)
'{!r} {!s}'.format('a', 'b')
'{:+d} {: d} {:e} {:g} {:%}'.format(5, 5, 12345.678, 0.0001, 0.25)
'{{}} {}'.format(1)
'{'.format(1)
'{}'.format()
'{x}'.format(y=1)
'{:d}'.format('a')
'{:s}'.format(1)
'{:.3}'.format('abcdef')
'{:>{w}}'.format('a', w=4)
'{:*^9.2f}'.format(3.14159)
'%s %d %5.2f %r %%' % ('a', 3, 2.5, 'b')
'%s' % 'x'
'%s' % [1, 2]
'%s %s' % 'x'
'%(a)s-%(b)03d' % {'a': 1, 'b': 2}
'%d' % 'x'
'%d' % 2.9
'%x %X %o %#x' % (255, 255, 8, 255)
'%5s|%-5s|%05d|%+d' % ('a', 'b', 42, 7)
'%e %g %G' % (12345.678, 1e-10, 1e20)
'%c%c' % ('a', 66)
'%s' % ()
'%' % ()
'abc' % 1
'%s and %s'|format(1, 'b')
'%(a)s'|format(a=3)
'%s'|format(none)
l|join
l|join(', ')
m|join('; ', attribute='role')
m|map(attribute='role')|join(',')
m|map(attribute='zz', default='?')|join(',')
m|map(attribute='content')|map('upper')|list
ls|map('upper')|list
l|map('string')|join('+')
l|map('nofilter')|list
l|map|list
m|selectattr('role', 'equalto', 'user')|list|length
m|selectattr('role', 'eq', 'user')|map(attribute='content')|list
m|selectattr('zz')|list
m|selectattr('zz', 'defined')|list
m|selectattr('n', '>', 1)|map(attribute='n')|list
m|rejectattr('role', 'in', ['user'])|list
l|select('odd')|list
l|reject('odd')|list
mixed|select|list
mixed|reject('none')|list
mixed|select('string')|list
none|select('odd')|list
5|select('odd')|list
l|first ~ l|last
[]|first
[]|last
s|first ~ s|last
d|first
missing|first
5|first
l|sort
l|sort(reverse=true)
ls|sort
ls|sort(case_sensitive=true)
mixed|sort
m|sort(attribute='n')|map(attribute='content')|list
m|sort(attribute='role,n')|map(attribute='n')|list
l|unique|list
['b', 'B', 'a', 'b']|unique|list
['b', 'B', 'a', 'b']|unique(true)|list
[[1], [1]]|unique|list
l|reverse|list
s|reverse
d|reverse|list
5|reverse
l|sum
l|sum(start=10)
m|sum(attribute='n')
ls|sum
l|min ~ l|max
ls|min ~ ls|max
[]|min
m|max(attribute='n')
[1, 'a']|max
d|dictsort
d|dictsort(true)
d|dictsort(false, 'value')
{'b': 1, 'a': 3, 'c': 2}|dictsort(by='value', reverse=true)
{'b': 1, 'a': 3}|dictsort(by='zz')
5|dictsort
d|items|list
missing|items|list
5|items|list
d|length ~ d|count
5|length
none|length
missing|length
d|list
s|list
5|list
none|list
missing|list
m|groupby('role')|list
m|groupby('role')|map(attribute='grouper')|list
[{'a': 1}, {}]|groupby('a', default=0)|list
range(7)|batch(3)|list
range(7)|batch(3, 'x')|list
range(7)|slice(3)|list
range(7)|slice(3, 'x')|list
s|default('x')
missing|default('x')
missing|d
none|default('x')
none|default('x', true)
''|default('x', boolean=true)
missing.x|default('x')
'42'|int
'42.7'|int
'x'|int
'x'|int(5)
'x'|int(default=none)
num|int
hex|int(base=16)
'1f'|int(0, 16)
'zz'|int(0, 16)
2.9|int
-2.9|int
none|int
true|int
[]|int(-1)
missing|int
'1e3'|int
'1_000'|int
'3.5'|float
'x'|float
'x'|float(1.5)
' 3.5 '|float
5|float
'inf'|float
'nan'|float
none|float
missing|float
-5|abs
-5.5|abs
'a'|abs
2.5|round
3.5|round
2.675|round(2)
42|round
42.7|round
1234.5|round(-2)
1250|round(-2)
42.4|round(0, 'ceil')
42.46|round(1, 'floor')
42.7|round|int
'a'|round
42|round(1, 'zz')
5|string ~ 'x'
none|string
s|wordcount
'héllo wörld_x 12-3'|wordcount
s|truncate(5)
s|truncate(5, true)
s|truncate(5, leeway=0)
s|truncate(8, true, '..', 0)
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(11, leeway=0)
lines|indent
lines|indent(2, true)
lines|indent(2, blank=true)
lines|indent('> ', first=true)
''|indent(first=true)
'x\n'|indent ~ '|'
s|center(20) ~ '|'
html|e
html|escape
html|forceescape
html|safe
(html|safe) + '<b>'
'<b>' + (html|safe)
(html|safe) ~ '<b>'
[html|safe]
html|e|e
html|safe|upper
(html|e) is escaped
html|safe|string
'a b&c/d?é'|urlencode
{'a b': 'c&d', 'e': 1}|urlencode
d|tojson
nest|tojson
nest|tojson(indent=2)
[]|tojson(indent=2)
{}|tojson(indent=2)
d|tojson(indent=4)
d|tojson(sort_keys=true)
d|tojson(separators=(',', ':'))
d|tojson(ensure_ascii=true)
u|tojson
u|tojson(ensure_ascii=true)
emoji|tojson(ensure_ascii=true)
emoji|tojson
html|tojson
q|tojson
(1, 2)|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1,): 2}|tojson
missing|tojson
none|tojson
1.0|tojson ~ big|tojson ~ tiny|tojson
'nan'|float|tojson
range(3)|tojson
d.items()|tojson
l|tojson(indent='--')
d|attr('items') is callable
d|attr('b')
s|attr('upper')
s is string
5 is string
none is none
missing is none
5 is number ~ 5.0 is number ~ true is number ~ '5' is number
5 is integer ~ true is integer ~ 5.0 is integer
5.0 is float ~ 5 is float
true is boolean ~ 1 is boolean
true is true ~ 1 is true ~ false is false
d is mapping ~ l is mapping ~ none is mapping
l is sequence ~ s is sequence ~ d is sequence ~ 5 is sequence ~ missing is sequence ~ none is sequence
l is iterable ~ s is iterable ~ 5 is iterable ~ missing is iterable ~ none is iterable
d.items() is sequence ~ d.items() is iterable ~ d.items() is mapping
l|map('string') is sequence ~ 1
d.get is callable ~ s is callable ~ missing is callable ~ range is callable
5 is odd ~ 4 is even ~ 9 is divisibleby 3 ~ 9 is divisibleby(4)
'a' is odd
5 is eq 5 ~ 5 is ne 4 ~ 5 is gt 4 ~ 5 is lessthan 6 ~ 5 is >= 5
5 is sameas 5 ~ none is sameas none ~ true is sameas 1
'a' is in 'abc' ~ 3 is in l
'abc' is lower ~ 'ABC' is upper ~ 'a1' is lower ~ '1' is lower
'upper' is filter ~ 'zz' is filter ~ 'odd' is test ~ 'zz' is test
5 is not odd
5 is not none and 4 is even
not 5 is odd
missing is defined or 1
missing is not defined
s is defined and s
1 is nosuchtest
1|nosuchfilter
1 if true else 2|nosuchfilter
'a' is string is true
namespace(a=1)
namespace(a=1).a
namespace({'a': 1}, b=2).b
namespace(_x=1)
namespace(a=1)['a']
namespace().zz
dict(a=1, b=2)
dict([('a', 1)], b=2)
dict(d, z=1)|length
dict([1])
dict([(1, 2, 3)])
cycler('a', 'b').next()
joiner(',')
raise_exception('my own words')
raise_exception(5)
strftime_now('%Y') is string
strftime_now(5)
s()
d.b()
missing()
s.nosuch()
s.upper
s.upper(1)
s.replace('a')
s.split(x=1)
s|upper(1)
s|default(zz=1)
s|replace
l.index(1) ~ l.count(1)
l.index(99)
l.copy()
l.sort()
(1, 2).index(2) ~ (1, 2).count(9)
f.is_integer() ~ g.is_integer()
5.0.is_integer()
n.bit_length()
d.a['x'][0:2]
d[0:1]
n.x
none.x
none['x']
(none.x) is defined
'a' if 1 is odd
[1, 2, 3][1:][0]
(l|sort)[0]
l|sort|first
s.split(', ')|last|upper
'a-b'.split('-')|join('+')|upper ~ '!'
(s ~ 1).lower()
{'a': {'b': 2}}['a'].b
{'a': 1}.a
[{'a': 1}][0].a
'%s' % d.b|string
1 + 2|string
-1|string|length
not true or true
true is not false
1 == 1 and 2 == 2 or 3 == 4
2 in [1, 2] and 3 not in [1, 2]
s == 'Hello, World' and not missing
'a' * 3 + 'b'
'abc'[1] ~ 'abc'['1']
lines|length ~ lines|wordcount
u|length ~ u|first ~ u|last
u == u.upper().lower()
u.find('Σ')
u.index('ας') ~ u.count('Σ')
u.center(30, '·')
'%5s|%-5s|' % ('é', 'ß')
'é' < 'z' ~ 'é' > 'z'
'😀' > '\uffff'
*l
**d
l[
(1
1 +
1 2
'unclosed
{% if %}
a.b.
a..b
a[]
a[1:2, 3]
a[1, 2]
f(1, a=2, 3)
f(a=1, a=2)
f(*l, 1)
{1, 2}
1 if
x is
x|
@
$
`
a = 1
lambda: 1
"a" if "b" else
9223372036854775807
""".strip("\n").split("\n")

TEMPLATES = [
    "{% for x in l %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.changed(x > 1) }};{% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}",
    "{% for x in l %}{% break %}{% else %}else{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% else %}else{% endfor %}",
    "{% for x in l %}{% continue %}{% else %}else{% endfor %}",
    "{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{{ loop.last }}{% else %}no{% endfor %}",
    "{% for x in l if x > 5 %}{{ x }}{% else %}no{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in l %}{{ a }}{% endfor %}",
    "{% for a, b in ['xy'] %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, b in ['xyz'] %}{{ a }}{% endfor %}",
    "{% for a, b in [missing] %}{{ a }}{% endfor %}",
    "{% for x in missing %}x{% else %}e{% endfor %}",
    "{% for x in none %}x{% endfor %}",
    "{% for x in 5 %}x{% endfor %}",
    "{% for c in 'añ😀' %}[{{ c }}]{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in l %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}{% endfor %}{% endfor %}",
    "{% for x in nest recursive %}{% if x is mapping %}m{% elif x is iterable and x is not string %}({{ loop(x) }}){% else %}{{ x }}{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for x in l %}{{ loop }}{% endfor %}",
    "{% for x in l %}{{ loop(x) }}{% endfor %}",
    "{% for x in l %}{{ loop.nosuch }}{% endfor %}",
    "{% for x in l|map('string') %}{{ loop.length }}{{ x }}{{ loop.revindex }}{% endfor %}",
    "{% for x in l %}{% set loop = 1 %}{% endfor %}",
    "{% for loop in l %}{% endfor %}",
    "{% for x in l %}{% if loop.index == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% break %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns }}",
    "{% set ns = namespace() %}{% set ns.a.b = 1 %}",
    "{% set ns = namespace() %}{% set ns._a = 1 %}",
    "{% set d.x = 1 %}",
    "{% set nope.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}",
    "{% set a, b = [1, 2, 3] %}",
    "{% set a = 1, 2 %}{{ a }}",
    "{% set a = b = 1 %}",
    "{% set true = 1 %}",
    "{% set x %}block {{ 1 + 1 }}{% endset %}[{{ x }}]",
    "{% set x | upper | trim %} block {{ s }} {% endset %}[{{ x }}]",
    "{% set x %}{% set y = 1 %}{% endset %}{{ y }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}",
    "{% if l %}a{% elif d %}b{% else %}c{% endif %}",
    "{% if none %}a{% elif '' %}b{% else %}c{% endif %}",
    "{% if missing %}a{% else %}b{% endif %}",
    "{% if false %}{{ 1|nosuch }}{% endif %}ok",
    "{% if true %}{{ 1|nosuch }}{% endif %}ok",
    "{% for x in [] %}{{ 1|nosuch }}{% endfor %}ok",
    "{% if false %}{% for x in [] %}{{ 1|nosuch }}{% endfor %}{% endif %}ok",
    "{{ 'x' if true else 1|nosuch }}",
    "{{ 1|nosuch if false else 'x' }}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(zz=2) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}",
    "{% macro m(a=b, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(x) %}{{ s }}{{ x }}{{ y }}{% endmacro %}{% set y = 5 %}{{ m(1) }}",
    "{% macro m() %}{{ y }}{% endmacro %}{{ m() }}{% set y = 5 %}{{ m() }}",
    "{% macro m() %}{{ n }}{% endmacro %}{{ m() }}{% set n = 5 %}{{ m() }}",
    "{% macro m() %}{% set n = 1 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}",
    "{% macro m(n) %}{{ n }}{{ m(n - 1) if n > 0 }}{% endmacro %}{{ m(3) }}",
    "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}body {{ s }}{% endcall %}",
    "{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}+{{ b }}{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{{ m() }}{% call m() %}y{% endcall %}",
    "{% call 5 %}{% endcall %}",
    "{% call s.upper() %}{% endcall %}",
    "{% macro m(a, b=1) %}{{ varargs }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_varargs }}{{ m.catch_kwargs }}{{ m.caller }}{{ m }}",
    "{% macro m() %}  a  {% endmacro %}[{{ m()|trim }}][{{ m() }}]",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% macro m(x) %}{% for i in x %}{{ m(i) if i is iterable and i is not string else i }},{% endfor %}{% endmacro %}{{ m([1, [2, [3]]]) }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% set f = namespace(m=none) %}{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{% if loop.first %}{% set f.m = m %}{% endif %}{% endfor %}{{ f.m is callable }}",
    "{% filter upper %}abc {{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}banana{% endfilter %}",
    "{% filter nosuch %}{% endfilter %}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% with n = n + 1, b = n %}{{ n }}{{ b }}{% endwith %}{{ n }}",
    "{% with %}{% set x = 1 %}{% endwith %}{{ x }}",
    "{% with a, b = (1, 2) %}{{ a }}{{ b }}{% endwith %}",
    "{% raw %}{{ x }}{% if %}{% endraw %}",
    "{% raw -%}  a  {%- endraw %}  b",
    "a {%- raw %} x {% endraw -%} b",
    "{# comment #}a{#- c -#} b",
    "  {# comment #}\n  a",
    "  {% if true %}\n  a\n  {% endif %}\nb\n",
    "  {%+ if true %}\n  a\n  {%+ endif %}\nb\n\n",
    "x  {% if true %}\n  a\n  {% endif +%}\nb",
    "  {%- if true -%}  \n  a  \n  {%- endif -%}  \nb",
    "  {{ 1 }}\n  {{- 2 -}}\n  {{ 3 }}  \n",
    "{{ 1 -}}\n\n{{ 2 }}\n\n{%- set x = 1 %}\n\n{{ x }}\n\n",
    "a\r\nb\rc\n{% if true %}\r\nd\r\n{% endif %}\r\n",
    "\n\n{{ 1 }}\n\n",
    "{{ 1 }}\n",
    "\t{% set x = 1 %}\t\n{{ x }}",
    "a\t {% set x = 1 %}\nb",
    "{% if true %}\n\n\na{% endif %}",
    "{{ '{{' }}{{ '%}' }}{{ \"}}\" }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ {'a': {}} }}",
    "{{{'a': 1}.a}}",
    "{% print 1, 's', none %}",
    "{% print %}",
    "{% generation %}in{% set x = 1 %}{% endgeneration %}out{{ x }}",
    "{% do l %}",
    "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% from 'x' import y %}",
    "{% block b %}inside{{ s }}{% endblock %}",
    "{% block b %}inside{% endblock b %}",
    "{% nosuch %}", "{% endif %}", "{% if true %}", "{% for x in l %}", "{{ 1 ", "{% if true %}{% endfor %}", "{# x",
    "{% for x in l %}{% else %}{% else %}{% endfor %}",
    "{% if true: %}a{% endif %}",
    "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}{{ g|first }}",
    "{% set g = l|select('odd') %}{% for x in g %}{{ x }}{% endfor %}{% for x in g %}{{ x }}{% endfor %}",
    "{% set g = mixed|map('upper') %}ok",
    "{% set g = [1, none]|map('abs') %}{{ g|first }}",
    "{% set ns = namespace(n=0) %}{% for x in l if x > ns.n %}{% set ns.n = x %}{{ x }}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for x in [1, 2, 3, 4] if x > ns.n %}{% set ns.n = x + 1 %}{{ x }}{% endfor %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set _ = c.reset() %}{{ c.next() }}",
    "{% set j = joiner() %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% for x in l %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }}",
    "{{ n }}{% for x in l %}{{ n }}{% endfor %}{% set n = 1 %}{{ n }}",
    "{% for x in [1] %}{% if false %}{% set n = 1 %}{% endif %}{{ n }}{% endfor %}",
    "{% if false %}{% set n = 1 %}{% endif %}{{ n }}",
    "{% for x in [1] %}{% for y in [1] %}{{ n }}{% endfor %}{% set n = 2 %}{{ n }}{% endfor %}{{ n }}",
    "{% macro m() %}{% for y in [1] %}{{ n }}{% endfor %}{% set n = 2 %}{{ n }}{% endmacro %}{{ m() }}{{ n }}",
    "{% macro m() %}{{ n }}{% set n = 2 %}{{ n }}{% endmacro %}{{ m() }}",
    "{% set x = missing %}{{ x is defined }}{{ x }}",
    "{% set x = x or 5 %}{{ x }}",
    "{% set n = n + 1 %}{{ n }}",
    "{% for n in l %}{{ n }}{% endfor %}{{ n }}",
    "{% set l = l + [4] %}{{ l }}",
    "{% set messages = m %}{% if messages[0]['role'] == 'user' %}{% set loop_messages = messages[1:] %}{% else %}{% set loop_messages = messages %}{% endif %}{% for x in loop_messages %}{{ x.role }}: {{ x['content'] }}\n{% endfor %}",
    "{%- for x in m %}\n  {{- x.role }}\n  {%- if not loop.last %}, {% endif %}\n{%- endfor %}",
    "{% for x in m|selectattr('role', 'equalto', 'user') %}{{ loop.index }}{{ x.content }}{% endfor %}",
    "{% for g in m|groupby('role') %}{{ g.grouper }}:{{ g.list|length }};{% endfor %}",
    "{% for r, items in m|groupby('role') %}{{ r }}{{ items|map(attribute='n')|list }}{% endfor %}",
    "{% set x = 'a' %}{% set x = x ~ 'b' %}{{ x * 2 }}",
    "{{ range(3)|map('string')|join }}{{ dict(a=1)|tojson }}",
    "{{ f(*[1, 2], **{'a': 1}) }}",
    "{{ '{}{}{a}'.format(*[1, 2], **{'a': 3}) }}",
    "{{ dict(**{'a': 1}, b=2) }}",
    "{{ dict(b=2, **{'a': 1, 'c': 3}) }}",
    "{{ s.upper(**{'x': 1}) }}",
    "{% set x = namespace(a=[]) %}{% set x.a = x.a + [1] %}{% set x.a = x.a + [2] %}{{ x.a }}",
    "{{ s }}{{- n }} {{ f -}} {{ t }}",
    "{%- set a -%}  x  {%- endset -%}[{{ a }}]",
    "{{ raise_exception('no') if missing is not defined else 1 }}",
    "{%- if m[0].role == 'system' %}{{ raise_exception('x') }}{%- endif %}fine",
    "{{ loop }}",
    "{{ super() }}",
    "{{ caller }}{{ varargs }}",
    "{{ x.y.z }}", "{{ d.x.y is defined }}", "{{ d.x is defined }}",
    "{{ (l|sort|reverse|list)[0] }}",
    "{{ m[-1]['content'] }}{{ m[-1].content }}{{ (m|last).content }}",
    "{{ lines.split('\\n')[0] }}",
    "{{ '\\n' in lines }}{{ lines|replace('\\n', '/') }}",
    "{% for line in lines.splitlines() %}[{{ line }}]{% endfor %}",
    "{% for a in l -%}\n  {{ a }}\n{%- endfor %}",
    "{% for a in l %}\n\n  {{ a }}\n\n{% endfor %}\n\n",
    "{% set a = 1 %}{% set b = a if a > 0 %}{% set c = a if a > 5 %}{{ b }}{{ c }}{{ c is undefined }}",
    "{{ d.a.x|map('string')|join('|') }}",
    "{{ [1,2,3]|sum / [1,2,3]|length }}",
    "{% if s is string and s|length > 3 and not s.startswith('x') %}ok{% endif %}",
    "{{ {'type': 'function', 'function': {'name': 'f', 'parameters': {}}} | tojson(indent=2) }}",
    "{%- macro t(v) -%}{%- if v is mapping -%}{ {%- for k, x in v.items() -%}{{ k }}:{{ t(x) }}{%- if not loop.last -%},{%- endif -%}{%- endfor -%} }{%- elif v is string -%}\"{{ v }}\"{%- elif v is iterable -%}[{%- for x in v -%}{{ t(x) }}{{ ',' if not loop.last }}{%- endfor -%}]{%- else -%}{{ v|tojson }}{%- endif -%}{%- endmacro -%}{{ t(d) }}{{ t(nest) }}",
]


ATOMS = ["s", "e", "w", "u", "q", "n", "z", "neg", "f", "g", "t", "no", "none", "l", "ls", "nest", "d", "m", "lines",
         "mixed", "missing", "1", "0", "-2", "2.5", "'a'", "'b c'", "''", "true", "false", "none", "[]", "{}", "[1, 'x']",
         "{'k': 1}", "(1, 2)", "range(3)", "html", "num", "emoji"]
FILTERS = ["upper", "lower", "title", "trim", "length", "list", "first", "last", "sort", "reverse", "join", "join('-')", "string",
           "int", "float", "abs", "round", "round(1)", "default('D')", "d('x', true)", "tojson", "tojson(indent=1)", "sum", "min",
           "max", "unique", "dictsort", "items", "replace('a', 'b')", "capitalize", "map('upper')", "map('string')",
           "map('length')", "select", "select('string')", "reject('none')", "select('odd')", "batch(2)", "e", "safe",
           "truncate(6)", "indent", "indent(2, true)", "list|length", "map(attribute='role')", "selectattr('n')", "groupby('n')",
           "center(9)", "slice(2)", "attr('x')", "count", "urlencode", "forceescape", "sort(reverse=true)", "format(1)"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable",
         "callable", "true", "false", "odd", "even", "divisibleby(2)", "eq(1)", "ne 1", "in [1, 'a']", "lower", "upper",
         "gt 1", "lt('b')", "sameas none", "escaped"]
METHODS = ["upper()", "lower()", "strip()", "split()", "split('o')", "split(' ', 1)", "rsplit(none, 1)", "startswith('H')", "endswith('')",
           "find('l')", "replace('l', 'L')", "title()", "splitlines()", "count('l')", "get('k')", "items()", "keys()", "values()",
           "index(1)", "join(['x', 'y'])", "format(1)", "role", "k", "isdigit()", "partition(' ')", "append(1)", "zfill(5)",
           "removeprefix('He')", "center(8)", "isupper()", "capitalize()", "swapcase()", "0", "nosuch", "copy()", "lstrip('H')"]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]
SUBSCRIPTS = ["[0]", "[-1]", "['k']", "['role']", "[1:]", "[::-1]", "[:2]", "[5]", "[-2:]", "[none:1]", "['a']", "[1]"]


def expression(rng, depth):
    if depth == 0:
        return rng.choice(ATOMS)
    e = expression(rng, depth - 1)
    kind = rng.randrange(10)
    if kind <= 2:
        return f"{e}|{rng.choice(FILTERS)}"
    if kind == 3:
        return f"({e} is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
    if kind == 4:
        return f"({e}).{rng.choice(METHODS)}"
    if kind == 5:
        part = rng.choice(SUBSCRIPTS)
        # a slice of a constant that has none is decided while compiling: not worth following
        return f"({e}){part}" if ":" not in part or re.fullmatch("[a-z]+", e) and e not in ("none", "true", "false") else e
    if kind <= 7:
        return f"({e} {rng.choice(BINARY)} {expression(rng, rng.randrange(depth))})"
    if kind == 8:
        return f"({e} if {expression(rng, 0)} else {expression(rng, 0)})"
    return rng.choice(["[{}]", "({},)", "{{'k': {}}}", "not {}", "(-{})", "[{}, 1]"]).format(e)


def statement(rng, depth):
    x = lambda: expression(rng, rng.randrange(3))
    ws = lambda: rng.choice(["", "-", "", "+", ""])
    body = lambda: "".join(statement(rng, depth - 1) for _ in range(rng.randrange(1, 3))) if depth > 0 else rng.choice(["a", " b ", "\n", "  \n c"])
    kind = rng.randrange(12)
    o, c = ws(), ws()
    v = "-" if c == "-" else ""
    gap = rng.choice(["", "\n", "  ", "\n  ", " \n"])
    if kind <= 3:
        return f"{gap}{{{{{'-' if o == '-' else ''} {x()} {v}}}}}{gap}"
    if kind == 4:
        return f"{gap}{{%{o} if {x()} {c}%}}{body()}{{%{c} else {o}%}}{body()}{{%{o} endif {c}%}}{gap}"
    if kind == 5:
        return f"{gap}{{%{o} for i in {x()} {c}%}}{body()}{{{{ i }}}}{{{{ loop.index }}}}{{%{o} endfor {c}%}}{gap}"
    if kind == 6:
        return f"{gap}{{%{o} set {rng.choice('xysn')} = {x()} {c}%}}{gap}"
    if kind == 7:
        return f"{{%{o} set {rng.choice('xys')} {c}%}}{body()}{{%{o} endset {c}%}}{{{{ x }}}}{{{{ y }}}}"
    if kind == 8:
        return f"{{%{o} macro mm(a, b={expression(rng, 0)}) {c}%}}{body()}{{{{ a }}}}{{{{ b }}}}{{{{ x }}}}{{%{o} endmacro {c}%}}{{{{ mm({x()}) }}}}"
    if kind == 9:
        return f"{{%{o} with x = {x()} {c}%}}{body()}{{{{ x }}}}{{%{o} endwith {c}%}}"
    if kind == 10:
        return f"{{#{o} note {c}#}}{gap}"
    return f"{{%{o} filter {rng.choice(['upper', 'trim', 'replace(1, 2)'])} {c}%}}{body()}{{%{o} endfilter {c}%}}"


def random_sources(n, seed):
    rng = random.Random(seed)
    for i in range(n):
        if i % 3 < 2:
            yield "{{ " + expression(rng, rng.randrange(1, 5)) + " }}"
        else:
            yield "".join(statement(rng, 2) for _ in range(rng.randrange(1, 4)))


def run(source):
    case = {"source": source, "context": json.dumps(CONTEXT, ensure_ascii=False)}
    try:
        case["text"] = _compile_jinja_template(source).render(**CONTEXT)
    except RecursionError:
        case["error"] = "RecursionError"
    except Exception as e:
        case["error"] = type(e).__name__
        if "Range too big" not in str(e) and isinstance(e, OverflowError):
            return None
    text = case.get("text", "")
    if re.search(r"""(?i)[ab]t 0x[0-9a-f]{6}|gener[ab]tor|'e', 'n', 'e', 'r'|\d{20}""", text):
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return case


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--random", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only-random", action="store_true")
    a = p.parse_args()
    sources = [] if a.only_random else ["{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES
    seen = set()
    for source in sources + list(random_sources(a.random, a.seed)):
        if source in seen:
            continue
        seen.add(source)
        case = run(source)
        if case:
            print(json.dumps(case, ensure_ascii=False))


sys.setrecursionlimit(2000)
main()
