"""Small Python functions: hand-written signatures, docstrings, references and inputs; constants drawn with a fixed seed.

Every expected result is what the reference returned. The first `SHOWN` inputs stand in the docstring as examples, the
rest are hidden tests, which hold the edge cases. Difficulty 1 is one expression, 2 a condition or a comprehension, 3 a
loop with a state or a rule with exceptions.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from evals.make.common import pick, spread

SEED = 20261126
SHOWN = 1
QUESTION = "Write this Python function. Reply with code only, without the docstring."
FEW_SHOT = [
    (
        QUESTION + '\n\ndef plus_seven(x):\n    """Return x plus 7. plus_seven(1) == 8"""',
        "def plus_seven(x):\n    return x + 7",
    ),
]
R = range

# (difficulty, name, arguments, docstring, reference, slots, inputs). `{k}` in docstring, reference and inputs is a slot.
TEMPLATES: list[tuple[int, str, str, str, str, dict[str, Any], str]] = [
    # numbers
    (1, "scale", "x", "Return x times {k}.", "return x * {k}", {"k": R(3, 20)}, "(2,), (0,), (-3,), (1.5,)"),
    (1, "shift", "x", "Return x minus {k}.", "return x - {k}", {"k": R(3, 20)}, "(30,), (0,), (-2,)"),
    (1, "power", "x", "Return x to the power of {k}.", "return x ** {k}", {"k": R(2, 6)}, "(2,), (0,), (-1,), (3,)"),
    (1, "rest", "x", "Return the remainder of x divided by {k}.", "return x % {k}", {"k": R(3, 12)}, "(20,), (0,), (7,)"),
    (1, "groups", "x", "Return how many full groups of {k} fit into x.", "return x // {k}", {"k": R(3, 12)}, "(50,), (0,), (2,), (12,)"),
    (1, "area", "width", "Return the area of a rectangle of the given width and height {k}.", "return width * {k}", {"k": R(3, 15)}, "(2,), (0,), (7,)"),
    (1, "with_tax", "price", "Return the price with {k} percent tax added.", "return price + price * {k} / 100", {"k": R(5, 25)}, "(100,), (0,), (40,)"),
    (1, "to_minutes", "hours", "Return the minutes in the given hours, plus {k}.", "return hours * 60 + {k}", {"k": R(5, 50, 5)}, "(2,), (0,), (10,)"),
    (1, "distance", "a", "Return the distance on the number line between a and {k}.", "return abs(a - {k})", {"k": R(4, 20)}, "(30,), (0,), (-5,)"),
    (1, "is_big", "x", "Return True if x is greater than {k}, else False.", "return x > {k}", {"k": R(5, 50)}, "(99,), (0,), ({k},), ({k} + 1,)"),
    (1, "divides", "x", "Return True if x is divisible by {k}, else False.", "return x % {k} == 0", {"k": R(3, 12)}, "({k} * 3,), (0,), ({k} + 1,)"),
    (2, "clamp", "x", "Return x, but never less than 0 and never more than {k}.", "return max(0, min({k}, x))", {"k": R(5, 50)}, "(99,), (-4,), (3,), ({k},)"),
    (2, "fee", "amount", "Return 0 if amount is {k} or more, else {j}.", "return 0 if amount >= {k} else {j}", {"k": R(20, 60, 5), "j": R(3, 9)}, "(100,), (5,), ({k},), ({k} - 1,)"),
    (2, "ticket_price", "age", "Return {j} for an age under {k}, else {i}.", "return {j} if age < {k} else {i}", {"k": R(6, 19), "j": R(2, 7), "i": R(8, 15)}, "(40,), (3,), ({k},)"),
    (2, "digit_sum", "n", "Return the sum of the decimal digits of n, plus {k}.", "return sum(int(c) for c in str(abs(n))) + {k}", {"k": R(1, 9)}, "(123,), (0,), (9999,), (-21,)"),
    (2, "round_up", "x", "Return the smallest multiple of {k} that is at least x.", "return -(-x // {k}) * {k}", {"k": R(3, 12)}, "({k} * 2 + 1,), (0,), ({k},), (1,)"),
    (2, "sum_to", "n", "Return the sum of the whole numbers from {k} to n, both included.", "return sum(range({k}, n + 1))", {"k": R(1, 6)}, "(10,), ({k},), (0,), (20,)"),
    (2, "sign_word", "x", "Return 'above', 'below' or 'equal', comparing x with {k}.", "return 'above' if x > {k} else 'below' if x < {k} else 'equal'", {"k": R(3, 30)}, "(99,), (0,), ({k},)"),
    (3, "fizz", "n", "Return 'fizz' if n is divisible by {k}, 'buzz' if by {j}, 'fizzbuzz' if by both, else n as a string.", "return ('fizz' * (n % {k} == 0) + 'buzz' * (n % {j} == 0)) or str(n)", {"k": (3, 4), "j": (5, 7)}, "({k},), ({j},), ({k} * {j},), (1,), (0,)"),
    (3, "countdown", "n", "Return how often {k} can be subtracted from n before the result is below zero.", "return max(0, n // {k}) if n >= 0 else 0", {"k": R(2, 9)}, "(20,), (0,), (1,), (-5,)"),
    (3, "collatz", "n", "Return the number of steps to reach 1: halve an even n, else take {k} * n + 1. n is at most {j}.", "s = 0\n    while n != 1:\n        n = n // 2 if n % 2 == 0 else {k} * n + 1\n        s += 1\n    return s", {"k": (3,), "j": R(30, 60, 5)}, "(6,), (1,), (7,), (16,)"),
    (3, "primes_below", "n", "Return the list of primes below n, leaving out {k}.", "return [p for p in range(2, n) if p != {k} and all(p % d for d in range(2, p))]", {"k": (2, 3, 5, 7)}, "(12,), (2,), (3,), (20,)"),
    (3, "fib", "n", "Return the n-th number of the sequence {k}, {j}, ... where each is the sum of the two before (n starts at 0).", "a, b = {k}, {j}\n    for _ in range(n):\n        a, b = b, a + b\n    return a", {"k": R(0, 4), "j": R(1, 5)}, "(4,), (0,), (1,), (8,)"),
    # strings
    (1, "greet", "name", "Return '{w}, ' followed by the name.", "return '{w}, ' + name", {"w": ("Hello", "Welcome", "Goodbye", "Dear", "Thanks")}, "('Ana',), ('',), ('Bo Li',)"),
    (1, "shout", "text", "Return the text in upper case followed by '{w}'.", "return text.upper() + '{w}'", {"w": ("!", "?!", "!!", " now", "...")}, "('go',), ('',), ('A b',)"),
    (1, "repeat", "text", "Return the text repeated {k} times.", "return text * {k}", {"k": R(2, 9)}, "('ab',), ('',), ('x',)"),
    (1, "starts", "text", "Return True if the text starts with '{w}', else False.", "return text.startswith('{w}')", {"w": ("ab", "re", "un", "pre", "co")}, "('{w}x',), ('',), ('x{w}',)"),
    (1, "count_letter", "text", "Return how often the letter '{w}' occurs in the text.", "return text.count('{w}')", {"w": ("a", "e", "o", "t", "s")}, "('a test of oats',), ('',), ('{w}{w}',)"),
    (1, "first_chars", "text", "Return the first {k} characters of the text.", "return text[:{k}]", {"k": R(2, 7)}, "('abcdefghij',), ('',), ('a',)"),
    (1, "last_chars", "text", "Return the last {k} characters of the text.", "return text[-{k}:]", {"k": R(2, 7)}, "('abcdefghij',), ('',), ('a',)"),
    (1, "swap", "text", "Return the text with every '{w}' replaced by '{v}'.", "return text.replace('{w}', '{v}')", {"w": ("a", "e", "o", "-"), "v": ("x", "_", "*")}, "('{w}b{w}',), ('',), ('qqq',)"),
    (1, "join_words", "words", "Return the words joined with '{w}'.", "return '{w}'.join(words)", {"w": (", ", "-", "/", " and ", "+")}, "(['a', 'b', 'c'],), ([],), (['x'],)"),
    (1, "pad", "number", "Return the number as a string of at least {k} digits, with zeros in front.", "return str(number).zfill({k})", {"k": R(3, 8)}, "(42,), (0,), (123456789,)"),
    (2, "long_words", "text", "Return the list of words of the text that have more than {k} letters.", "return [w for w in text.split() if len(w) > {k}]", {"k": R(2, 6)}, "('we like a large breakfast',), ('',), ('a bb ccc dddd eeeee ffffff',)"),
    (2, "cut", "text", "Return the text if it has at most {k} characters, else its first {k} characters followed by '...'.", "return text if len(text) <= {k} else text[:{k}] + '...'", {"k": R(3, 9)}, "('abcdefghijkl',), ('',), ('abcdefghijkl'[:{k}],)"),
    (2, "vowels", "text", "Return the number of vowels (a, e, i, o, u, either case) in the text, times {k}.", "return {k} * sum(c in 'aeiou' for c in text.lower())", {"k": R(2, 9)}, "('banana',), ('',), ('AEIOU xyz',)"),
    (2, "is_palindrome", "text", "Return True if the text is the same read backwards, ignoring case and '{w}', else False.", "t = text.lower().replace('{w}', '')\n    return t == t[::-1]", {"w": (" ", "-", "_", ".")}, "('Anna',), ('ab',), ('',), ('N{w}oon',)"),
    (2, "initials", "name", "Return the first letters of the words of the name, in upper case, each followed by '{w}'.", "return ''.join(w[0].upper() + '{w}' for w in name.split())", {"w": (".", "-", "*", "/")}, "('ana lima',), ('',), ('a  b c',)"),
    (2, "reverse_words", "text", "Return the words of the text in reverse order, joined with '{w}'.", "return '{w}'.join(text.split()[::-1])", {"w": (" ", "-", "_", "/")}, "('one two three',), ('',), ('a  b',)"),
    (2, "every_nth", "text", "Return every {k}th character of the text, beginning with the first.", "return text[::{k}]", {"k": (4, 5, 6, 7)}, "('abcdefghijkl',), ('',), ('ab',)"),
    (2, "has_both", "text", "Return True if both '{w}' and '{v}' occur in the text, else False.", "return '{w}' in text and '{v}' in text", {"w": ("a", "e", "x"), "v": ("o", "b", "7")}, "('{w}{v}',), ('{w}',), ('',), ('{v} {w}',)"),
    (3, "caesar", "text", "Return the text with every lower-case letter moved {k} places on in the alphabet, from z on to a; leave the rest.", "return ''.join(chr((ord(c) - 97 + {k}) % 26 + 97) if 'a' <= c <= 'z' else c for c in text)", {"k": R(1, 6)}, "('abc',), ('xyz!',), ('',), ('A b',)"),
    (3, "run_lengths", "text", "Return runs of equal characters as a list of [character, length], only runs of at least {k}.", "out = []\n    for c in text:\n        if out and out[-1][0] == c:\n            out[-1][1] += 1\n        else:\n            out.append([c, 1])\n    return [r for r in out if r[1] >= {k}]", {"k": (1, 2, 3)}, "('aaabbc',), ('',), ('abab',), ('zzzz',)"),
    (3, "camel", "text", "Turn words joined by '{w}' into camelCase.", "p = [x for x in text.split('{w}') if x]\n    return p[0].lower() + ''.join(x.capitalize() for x in p[1:]) if p else ''", {"w": ("_", "-", ".", " ")}, "('one{w}two{w}three',), ('a',), ('',), ('ONE{w}TWO',)"),
    (3, "most_common", "text", "Return the most frequent character of the text, the first one in the alphabet on a tie, '{w}' if the text is empty.", "return min(text, key=lambda c: (-text.count(c), c)) if text else '{w}'", {"w": ("?", "-", "none", "*")}, "('banana',), ('',), ('ba',), ('zzaab',)"),
    # lists
    (1, "add_item", "items", "Return a new list: the items followed by {k}.", "return [*items, {k}]", {"k": R(2, 99)}, "([1, 5],), ([],), ([0],)"),
    (1, "nth", "items", "Return the item at index {k} of the list.", "return items[{k}]", {"k": R(1, 5)}, "([4, 8, 15, 16, 23, 42],), ([1, 2, 3, 4, 5],)"),
    (1, "take", "items", "Return the first {k} items of the list.", "return items[:{k}]", {"k": R(2, 5)}, "([4, 8, 15, 16, 23, 42],), ([],), ([1],)"),
    (1, "skip", "items", "Return the list without its first {k} items.", "return items[{k}:]", {"k": R(2, 5)}, "([4, 8, 15, 16, 23, 42],), ([],), ([1],)"),
    (1, "total", "numbers", "Return the sum of the numbers plus {k}.", "return sum(numbers) + {k}", {"k": R(2, 50)}, "([1, 2, 3],), ([],), ([-4],)"),
    (1, "spread_of", "numbers", "Return the largest number minus the smallest, times {k}.", "return (max(numbers) - min(numbers)) * {k}", {"k": R(2, 9)}, "([3, 9, 4],), ([5],), ([-1, 1],)"),
    (1, "times_all", "numbers", "Return a list with every number multiplied by {k}.", "return [n * {k} for n in numbers]", {"k": R(3, 12)}, "([1, 2, 3],), ([],), ([-1],)"),
    (1, "contains", "items", "Return True if {k} is in the list, else False.", "return {k} in items", {"k": R(2, 60)}, "([1, {k}],), ([],), ([{k} + 1],)"),
    (2, "above", "numbers", "Return a list of the numbers greater than {k}, in the same order.", "return [n for n in numbers if n > {k}]", {"k": R(3, 30)}, "([99, 1, 50],), ([],), ([{k}, {k} + 1],)"),
    (2, "count_below", "numbers", "Return how many numbers are smaller than {k}.", "return sum(n < {k} for n in numbers)", {"k": R(3, 30)}, "([99, 1, 2],), ([],), ([{k}],)"),
    (2, "odd_squares", "numbers", "Return the squares of the odd numbers, leaving out squares over {k}.", "return [n * n for n in numbers if n % 2 and n * n <= {k}]", {"k": R(30, 90, 10)}, "([1, 2, 3, 11],), ([],), ([-3, 4],)"),
    (2, "mean", "numbers", "Return the mean of the numbers, or {k} if there are none.", "return sum(numbers) / len(numbers) if numbers else {k}", {"k": R(0, 9)}, "([2, 4],), ([],), ([5],)"),
    (2, "top", "numbers", "Return the {k} largest numbers, the largest first.", "return sorted(numbers, reverse=True)[:{k}]", {"k": (2, 3, 4, 5)}, "([3, 9, 4, 7, 1, 8],), ([],), ([1, 1],)"),
    (2, "unique", "items", "Return the items without repetitions, in order of first occurrence, without {k}.", "return [x for x in dict.fromkeys(items) if x != {k}]", {"k": R(1, 9)}, "([3, 1, 3, 2, 1],), ([],), ([{k}, {k}],)"),
    (2, "chunks", "items", "Return the items cut into lists of {k}; the last may be shorter.", "return [items[i:i + {k}] for i in range(0, len(items), {k})]", {"k": (2, 3, 4, 5)}, "([1, 2, 3, 4, 5, 6, 7],), ([],), ([1],)"),
    (2, "rotate", "items", "Return the list with its first {k} items moved to the end.", "return items[{k}:] + items[:{k}]", {"k": (1, 2, 3)}, "([1, 2, 3, 4],), ([],), ([1],)"),
    (2, "by_length", "words", "Return the words sorted by length, shortest first, without words of {k} letters or more.", "return sorted((w for w in words if len(w) < {k}), key=len)", {"k": R(4, 8)}, "(['ccc', 'a', 'bb'],), ([],), (['abcdefgh', 'xy'],)"),
    (3, "running", "numbers", "Return the list of running totals, starting from {k}.", "out, s = [], {k}\n    for n in numbers:\n        s += n\n        out.append(s)\n    return out", {"k": R(0, 20)}, "([1, 2, 3],), ([],), ([-1, 1],)"),
    (3, "second_largest", "numbers", "Return the second largest different number, or {k} if there is none.", "s = sorted(set(numbers))\n    return s[-2] if len(s) > 1 else {k}", {"k": (-1, 0, 99, 100)}, "([4, 9, 7],), ([],), ([5, 5],), ([5, 5, 3],)"),
    (3, "longest_rise", "numbers", "Return the length of the longest stretch in which each number exceeds the one before by at least {k}.", "best = run = min(1, len(numbers))\n    for a, b in zip(numbers, numbers[1:]):\n        run = run + 1 if b - a >= {k} else 1\n        best = max(best, run)\n    return best", {"k": (1, 2, 3)}, "([1, 4, 7, 2, 9],), ([],), ([5],), ([3, 2, 1],)"),
    (3, "tally", "words", "Return a dict from each word to how often it occurs, leaving out words that occur fewer than {k} times.", "return {{w: words.count(w) for w in words if words.count(w) >= {k}}}", {"k": (2, 3, 4)}, "(['a', 'b', 'a', 'a', 'a'],), ([],), (['x'],)"),
    (3, "pairs", "numbers", "Return how many pairs of positions i < j have numbers that add up to {k}.", "return sum(a + b == {k} for i, a in enumerate(numbers) for b in numbers[i + 1:])", {"k": R(4, 12)}, "([1, {k} - 1, 2, {k} - 2],), ([],), ([{k}],), ([0, {k}, 0],)"),
    (3, "balanced", "text", "Return True if every '{w}' in the text is closed by a later '{v}' and the other way round, else False.", "d = 0\n    for c in text:\n        d += (c == '{w}') - (c == '{v}')\n        if d < 0:\n            return False\n    return d == 0", {"w": ("(", "[", "<"), "v": ("{ {'(': ')', '[': ']', '<': '>'}[w] }",)}, "('a{w}b{v}',), ('{v}{w}',), ('',), ('{w}{w}{v}',)"),
]  # fmt: skip


def rows(n_samples: int = 150) -> list[dict[str, Any]]:
    """`n_samples` functions as dataset rows; the group is the template. Examples and tests are [arguments, result]."""
    rng = np.random.default_rng(SEED)
    out: list[dict[str, Any]] = []
    for t, (template, count) in enumerate(
        zip(TEMPLATES, spread([1] * len(TEMPLATES), n_samples), strict=True)
    ):
        difficulty, name, arguments, doc, body, slots, inputs = template
        seen: set[str] = set()
        while len(seen) < count:
            values = _draw(rng, slots)
            if str(values) in seen:
                continue
            seen.add(str(values))
            signature = f"def {name}({arguments}):"
            cases = _cases(f"{signature}\n    {body.format(**values)}\n", name, inputs.format(**values))
            shown = " ".join(
                f"{name}({', '.join(map(repr, call))}) == {result!r}" for call, result in cases[:SHOWN]
            )
            out.append({
                "id": f"code-{t:02d}-{len(seen)}",
                "input": f'{QUESTION}\n\n{signature}\n    """{doc.format(**values)} {shown}"""',
                "target": body.format(**values),
                "group": f"code-{t:02d}",
                "difficulty": difficulty,
                "name": name,
                "signature": signature,
                "examples": cases[:SHOWN],
                "tests": cases[SHOWN:],
            })  # fmt: skip
    return out


def _draw(rng: np.random.Generator, slots: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, source in slots.items():
        drawn = pick(rng, source)
        if isinstance(drawn, str) and drawn.startswith("{ "):
            drawn = eval(drawn[2:-2], {"__builtins__": {}}, dict(values))
        values[name] = drawn if isinstance(drawn, str) else int(drawn)
    return values


def _cases(source: str, name: str, inputs: str) -> list[list[Any]]:
    """[arguments, result] of every input. The code is the literals above, so exec sees nothing from outside."""
    space: dict[str, Any] = {}
    exec(source, space)  # noqa: S102
    calls = [list(call) for call in eval(f"[{inputs}]", {"__builtins__": {}})]
    cases = [[call, space[name](*json.loads(json.dumps(call)))] for call in calls]
    if json.loads(json.dumps(cases)) != cases:
        raise ValueError(f"{name}: a result does not survive JSON: {cases}")
    return cases
