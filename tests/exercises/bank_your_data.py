"""Submissions to lesson 07."""

from bank import Bank

_LEAVES = "def leaves_machine(host):\n"
_CALL = "def parse_call(text, allowed):\n"
_RANK = "def rank_documents(query, documents):\n"
_WRONG = "def first_wrong_step(numbers, thinking):\n"
_PATTERN = 'r"<tool>(\\w+):(.*?)</tool>"'

BANKS = {
    "audit.by_hand": Bank(
        wrong=[
            ("numbered from 0", "audit_by_hand = (2, True)"),
            ("Add the answer's signs", "audit_by_hand = (1, False)"),
            ("Step 0 is right", "audit_by_hand = (0, True)"),
            ("There is a wrong step", "audit_by_hand = (None, True)"),
            ("numbered from 0", "audit_by_hand = (2, False)"),
            ("not it yet", "audit_by_hand = (0, False)"),
            ("not it yet", "audit_by_hand = 1"),
            ("not it yet", "audit_by_hand = (True, 1)"),
            ("not it yet", "audit_by_hand = (1, 'True')"),
        ],
        right=[
            "audit_by_hand = [1, True]",
            "audit_by_hand = (1, 7 + 3 - 5 + 2 == 7)",
            """\
import numpy as np
audit_by_hand = (np.int64(1), np.bool_(True))""",
        ],
    ),
    "data.leaves_machine": Bank(
        wrong=[
            (
                "merely contains",
                _LEAVES
                + """\
    h = host.lower()
    return not ('localhost' in h or '127.0.0.1' in h or h == '::1')
""",
            ),
            (
                "begins like a local one",
                _LEAVES
                + """\
    h = host.lower()
    return not (h.startswith(('127.', 'localhost')) or h == '::1')
""",
            ),
            ("network at home", ("is_loopback", "is_private")),
            ("Addresses can be local", _LEAVES + "    return host.lower() != 'localhost'\n"),
            (
                "The name localhost is",
                (
                    """\
    if host.lower() == "localhost":
        return False
""",
                    "",
                ),
            ),
            ("Capitals", ("host.lower()", "host")),
            (
                "All of 127.0.0.0/8",
                _LEAVES
                + """\
    return host.lower() not in {'localhost', '127.0.0.1', '::1'}
""",
            ),
            ("::1 is this machine", ("ip_address(host)", "IPv4Address(host)")),
            ("not localhost leaves", ("return True", "return False")),
            (
                "raises ValueError",
                (
                    """\
except ValueError:
        return True""",
                    """\
finally:
        pass""",
                ),
            ),
            (
                "Turned round",
                _LEAVES
                + """\
    if host.lower() == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
""",
            ),
            ("usual loopback", _LEAVES + "    return True\n"),
            ("only looks local", _LEAVES + "    return False\n"),
            ("a name below localhost", ("host.lower() ==", 'host.lower().split(".")[-1] ==')),
            ("with localhost in it", ('== "localhost"', 'in ("localhost", "ip6-localhost")')),
            (
                "another spelling",
                (
                    "ipaddress.ip_address(host).is_loopback",
                    'ipaddress.ip_address(host).is_loopback or ":" in host and host not in ("::1", "0:0:0:0:0:0:0:1", "0000::0001")',
                ),
            ),
            (
                "stands elsewhere",
                (
                    "ipaddress.ip_address(host).is_loopback",
                    '(ipaddress.ip_address(host).is_loopback or host.replace(":", "").lstrip("0") == "1")',
                ),
            ),
        ],
        right=[
            _LEAVES
            + """\
    h = host.casefold()
    if h == 'localhost':
        return False
    try:
        a = ipaddress.ip_address(h)
    except ValueError:
        return True
    return str(a).split('.')[0] != '127' if a.version == 4 else int(a) != 1
""",
            _LEAVES
            + """\
    import contextlib, re
    if re.fullmatch('localhost', host, re.IGNORECASE):
        return False
    with contextlib.suppress(ValueError):
        a = ipaddress.ip_address(host)
        return not any(a in ipaddress.ip_network(n) for n in ('127.0.0.0/8', '::1/128'))
    return True
""",
            _LEAVES
            + """\
    host = '127.0.0.1' if host.upper() == 'LOCALHOST' else host
    for net in map(ipaddress.ip_network, ('127.0.0.0/8', '::1/128')):
        try:
            if ipaddress.ip_address(host) in net:
                return False
        except ValueError:
            pass
    return True
""",
        ],
    ),
    "tools.parse_call": Bank(
        wrong=[
            ("Any tool is let through", ("name not in allowed or ", "")),
            ("not the first taken", ("len(calls) != 1", "not calls")),
            ("not the last taken", (("len(calls) != 1", "not calls"), ("calls[0]", "calls[-1]"))),
            ("greedy", ("(.*?)", "(.*)")),
            (
                "in the middle of other text",
                (
                    f"re.findall({_PATTERN}, text, re.DOTALL)",
                    f"re.findall({_PATTERN}, text, re.DOTALL) "
                    "if re.fullmatch('<tool>.*</tool>', text.strip(), re.DOTALL) else []",
                ),
            ),
            ("Blanks around", ("argument = argument.strip()", "pass")),
            ("100 is the most", (" or len(argument) > 100", "")),
            ("Exactly 100", ("> 100", ">= 100")),
            ("characters, not bytes", ("len(argument)", "len(argument.encode())")),
            (
                "refused, not cut",
                (
                    (" or len(argument) > 100", ""),
                    ("return name, argument", "return name, argument[:100]"),
                ),
            ),
            ("Name first", ("return name, argument", "return argument, name")),
            (
                "Names are exact",
                (
                    "name, argument = calls[0]",
                    """\
name, argument = calls[0]
    name = name.lower()""",
                ),
            ),
            (
                "tool's business",
                ("if name not in allowed", "if not argument or name not in allowed"),
            ),
            ("over two lines", (", re.DOTALL", "")),
            ("came out", (_PATTERN, 'r"<tool>(\\w+) (.*?)</tool>"')),
            ("tabs and line ends", ("argument.strip()", 'argument.strip(" ")')),
            ("tabs and line ends", ("argument.strip()", 'argument.strip(" \\n")')),
            ("quotes and what looks", ("argument.strip()", "argument.strip().strip('\"')")),
            (
                "quotes and what looks",
                ("argument.strip()", '__import__("html").unescape(argument).strip()'),
            ),
        ],
        right=[
            _CALL
            + """\
    calls = []
    for part in text.split('<tool>')[1:]:
        inside, closed, _ = part.partition('</tool>')
        name, colon, argument = inside.partition(':')
        if closed and colon and re.fullmatch(r'\\w+', name):
            calls.append((name, argument.strip()))
    good = len(calls) == 1 and calls[0][0] in allowed and len(calls[0][1]) <= 100
    return calls[0] if good else None
""",
            _CALL
            + """\
    pattern = re.compile(r'<tool>(?P<n>\\w+):(?P<a>[\\s\\S]*?)</tool>')
    found = list(pattern.finditer(text))
    if len(found) == 1 and found[0]['n'] in allowed:
        argument = found[0]['a'].strip()
        if len(argument) < 101:
            return [found[0]['n'], argument]
""",
            _CALL
            + """\
    calls = []
    at = text.find('<tool>')
    while at >= 0:
        end = text.find('</tool>', at)
        if end < 0:
            break
        name, colon, _ = text[at + 6:end].partition(':')
        if colon and name.replace('_', '').isalnum():
            calls.append(text[at + 6:end])
        at = text.find('<tool>', end)
    if len(calls) != 1:
        return None
    name, argument = calls[0].split(':', 1)
    argument = argument.strip()
    if name in allowed and len(argument) <= 100:
        return name, argument
    return None
""",
        ],
    ),
    "retrieval.rank": Bank(
        wrong=[
            ("lower() both sides", (("document.lower()", "document"), ("query.lower()", "query"))),
            ("counts once", ("set(query.lower().split())", "query.lower().split()")),
            ("All words weigh the same", (" * math.log(len(documents) / having)", "")),
            (
                "Common words weigh more",
                ("math.log(len(documents) / having)", "having / len(documents)"),
            ),
            (
                "not its occurrences",
                ("sum(word in count for count in counts)", "sum(count[word] for count in counts)"),
            ),
            ("twice in a document counts twice", ("count[word] *", "1 *")),
            (
                "document's length",
                ("count[word] * math", "count[word] / sum(count.values()) * math"),
            ),
            ("without a score are left out", (" if score > 0", "")),
            ("best document comes first", ("-scores[i]", "scores[i]")),
            ("earlier document", ("-scores[i])", "(-scores[i], -i))")),
            (
                "one document",
                (
                    "return sorted(found, key=lambda i: -scores[i])",
                    "return [documents[i] for i in found]",
                ),
            ),
            ("twice is more", ("sorted(found, key=lambda i: -scores[i])", "found")),
            (
                "came out",
                ("math.log(len(documents) / having)", "math.log(1 + len(documents) / having)"),
            ),
            (
                "one word often",
                (
                    "lambda i: -scores[i]",
                    "lambda i: (-len(set(query.lower().split()) & set(counts[i])), -scores[i])",
                ),
            ),
            ("one word often", ("count[word] * math", "min(count[word], 2) * math")),
        ],
        right=[
            _RANK
            + """\
    docs = [d.lower().split() for d in documents]
    def score(d):
        s = 0
        for w in dict.fromkeys(query.lower().split()):
            n = sum(w in other for other in docs)
            if n:
                s += d.count(w) * (math.log(len(docs)) - math.log(n))
        return s
    pairs = [(score(d), -i) for i, d in enumerate(docs)]
    return [-i for s, i in sorted(pairs, reverse=True) if s > 1e-12]
""",
            _RANK
            + """\
    import numpy as np
    words = sorted(set(query.lower().split()))
    table = np.array([[d.lower().split().count(w) for w in words] for d in documents], float)
    having = (table > 0).sum(0)
    rarity = np.log(len(documents) / np.maximum(having, 1))
    s = (table * rarity).sum(1)
    order = np.argsort(-s, kind='stable')
    return order[s[order] > 0]
""",
            _RANK
            + """\
    N = len(documents)
    scores = {}
    for w in set(query.lower().split()):
        hits = {i: Counter(d.lower().split())[w] for i, d in enumerate(documents)}
        hits = {i: n for i, n in hits.items() if n}
        for i, n in hits.items():
            scores[i] = scores.get(i, 0.0) + n * math.log(N / len(hits))
    ranked = sorted(scores.items(), key=lambda p: (-p[1], p[0]))
    return [i for i, s in ranked if s > 0]
""",
        ],
    ),
    "audit.first_wrong_step": Bank(
        wrong=[
            (
                "starts over",
                (
                    """\
total = numbers[0]
            continue""",
                    "continue",
                ),
            ),
            (
                "not in each anew",
                (
                    "            continue",
                    """\
            number = 0
            continue""",
                ),
            ),
            (
                "are not numbered",
                (
                    "            continue",
                    """\
            number += 1
            continue""",
                ),
            ),
            (
                "not the last",
                (
                    ("total, number = numbers[0], 0", "total, number, last = numbers[0], 0, None"),
                    ("return number", "last = number"),
                    ("return None", "return last"),
                ),
            ),
            ("numbered from 0", ("return number", "return number + 1")),
            ("not -1", ("return None", "return -1")),
            ("not the number of steps", ("return None", "return number")),
            ("10 - 5 is not 4", ("total + int(step)", "total - int(step)")),
            ("came out", ("total = int(written)", "total = numbers[0]")),
            (
                "10 - 5 is not 4",
                (
                    """\
        if total + int(step) != int(written):
            return number
""",
                    "",
                ),
            ),
            ("came out", ("return number", "return word")),
            ("came out", ("!= int(written)", "> int(written)")),
        ],
        right=[
            _WRONG
            + """\
    import re
    place, total = 0, numbers[0]
    for sign, digit, out, verdict in re.findall(r'([+-])(\\d+)=(-?\\d+)|(yes|no)', thinking):
        if verdict:
            total = numbers[0]
        else:
            total += int(digit) if sign == '+' else -int(digit)
            if total != int(out):
                return place
            place += 1
""",
            _WRONG
            + """\
    steps = []
    before = numbers[0]
    for w in thinking.split():
        if '=' in w:
            a, b = map(int, w.split('='))
            steps.append(before + a == b)
            before = b
        else:
            before = numbers[0]
    return steps.index(False) if False in steps else None
""",
            _WRONG
            + """\
    import numpy as np
    wrong, n = [], 0
    for attempt in thinking.replace('yes', 'no').split('no'):
        words = [w.split('=') for w in attempt.split()]
        signed = np.array([int(a) for a, _ in words], int)
        written = np.array([int(b) for _, b in words], int)
        start = np.concatenate([[numbers[0]], written[:-1]]) if len(words) else written
        wrong += (n + np.flatnonzero(start + signed != written)).tolist()
        n += len(words)
    return wrong[0] if wrong else None
""",
        ],
    ),
}
