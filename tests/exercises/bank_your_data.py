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
            "import numpy as np\naudit_by_hand = (np.int64(1), np.bool_(True))",
        ],
    ),
    "data.leaves_machine": Bank(
        wrong=[
            (
                "merely contains",
                _LEAVES + "    h = host.lower()\n    return not ('localhost' in h "
                "or '127.0.0.1' in h or h == '::1')\n",
            ),
            (
                "begins like a local one",
                _LEAVES + "    h = host.lower()\n    return not (h"
                ".startswith(('127.', 'localhost')) or h == '::1')\n",
            ),
            ("network at home", ("is_loopback", "is_private")),
            ("Addresses can be local", _LEAVES + "    return host.lower() != 'localhost'\n"),
            (
                "The name localhost is",
                ('    if host.lower() == "localhost":\n        return False\n', ""),
            ),
            ("Capitals", ("host.lower()", "host")),
            (
                "All of 127.0.0.0/8",
                _LEAVES + "    return host.lower() not in {'localhost', '127.0.0.1', '::1'}\n",
            ),
            ("::1 is this machine", ("ip_address(host)", "IPv4Address(host)")),
            ("not localhost leaves", ("return True", "return False")),
            (
                "raises ValueError",
                ("except ValueError:\n        return True", "finally:\n        pass"),
            ),
            (
                "Turned round",
                _LEAVES + "    if host.lower() == 'localhost':\n        return True\n"
                "    try:\n        return ipaddress.ip_address(host).is_loopback\n    except "
                "ValueError:\n        return False\n",
            ),
            ("usual loopback", _LEAVES + "    return True\n"),
            ("only looks local", _LEAVES + "    return False\n"),
        ],
        right=[
            _LEAVES + "    h = host.casefold()\n    if h in ('localhost', '::1'):\n        return "
            "False\n    parts = h.split('.')\n    if len(parts) == 4 and all(p.isdigit() and int(p)"
            " < 256 for p in parts):\n        return parts[0] != '127'\n    return True\n",
            _LEAVES + "    import re\n    local = r'localhost|::1|127(\\.\\d{1,3}){3}'\n    return "
            "re.fullmatch(local, host, re.IGNORECASE) is None\n",
            _LEAVES
            + "    host = '127.0.0.1' if host.upper() == 'LOCALHOST' else host\n    for net "
            "in map(ipaddress.ip_network, ('127.0.0.0/8', '::1/128')):\n        try:\n            "
            "if ipaddress.ip_address(host) in net:\n                return False\n        except "
            "ValueError:\n            pass\n    return True\n",
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
                    f"re.findall({_PATTERN}, text, re.DOTALL) if text.strip().startswith('<tool>') and "
                    "text.strip().endswith('</tool>') else []",
                ),
            ),
            ("Blanks around", ("argument = argument.strip()", "pass")),
            ("100 is the most", (" or len(argument) > 100", "")),
            ("Exactly 100", ("> 100", ">= 100")),
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
                ("name, argument = calls[0]", "name, argument = calls[0]\n    name = name.lower()"),
            ),
            (
                "tool's business",
                ("if name not in allowed", "if not argument or name not in allowed"),
            ),
            ("over two lines", (", re.DOTALL", "")),
            ("came out", (_PATTERN, 'r"<tool>(\\w+) (.*?)</tool>"')),
        ],
        right=[
            _CALL + "    if text.count('<tool>') != 1 or text.count('</tool>') != 1:\n        "
            "return None\n    inside = text.split('<tool>')[1]\n    if '</tool>' not in inside:\n"
            "        return None\n    name, colon, argument = inside.split('</tool>')[0].partition("
            "':')\n    argument = argument.strip()\n    good = colon and name in allowed and len("
            "argument) <= 100\n    return (name, argument) if good else None\n",
            _CALL + "    pattern = re.compile(r'<tool>(?P<n>\\w+):(?P<a>[\\s\\S]*?)</tool>')\n    "
            "found = list(pattern.finditer(text))\n    if len(found) == 1 and found[0]['n'] in "
            "allowed:\n        argument = found[0]['a'].strip()\n        if len(argument) < 101:\n"
            "            return [found[0]['n'], argument]\n",
            _CALL + "    calls = []\n    at = text.find('<tool>')\n    while at >= 0:\n        end "
            "= text.find('</tool>', at)\n        if end < 0:\n            break\n        "
            "calls.append(text[at + 6:end])\n        at = text.find('<tool>', end)\n    if "
            "len(calls) != 1 or ':' not in calls[0]:\n        return None\n    name, argument = "
            "calls[0].split(':', 1)\n    argument = argument.strip()\n    if name in allowed and "
            "len(argument) <= 100:\n        return name, argument\n    return None\n",
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
        ],
        right=[
            _RANK + "    docs = [d.lower().split() for d in documents]\n    def score(d):\n        "
            "s = 0\n        for w in dict.fromkeys(query.lower().split()):\n            n = sum(w "
            "in other for other in docs)\n            if n:\n                s += d.count(w) * "
            "(math.log(len(docs)) - math.log(n))\n        return s\n    pairs = [(score(d), -i) for "
            "i, d in enumerate(docs)]\n    return [-i for s, i in sorted(pairs, reverse=True) if s "
            "> 1e-12]\n",
            _RANK + "    import numpy as np\n    words = sorted(set(query.lower().split()))\n    "
            "table = np.array([[d.lower().split().count(w) for w in words] for d in documents], "
            "float)\n    having = (table > 0).sum(0)\n    rarity = np.log(len(documents) / "
            "np.maximum(having, 1))\n    s = (table * rarity).sum(1)\n    order = np.argsort(-s, "
            "kind='stable')\n    return order[s[order] > 0]\n",
            _RANK + "    N = len(documents)\n    scores = {}\n    for w in set(query.lower().split("
            ")):\n        hits = {i: Counter(d.lower().split())[w] for i, d in enumerate(documents)"
            "}\n        hits = {i: n for i, n in hits.items() if n}\n        for i, n in hits"
            ".items():\n            scores[i] = scores.get(i, 0.0) + n * math.log(N / len(hits))\n"
            "    ranked = sorted(scores.items(), key=lambda p: (-p[1], p[0]))\n    return [i for i,"
            " s in ranked if s > 0]\n",
        ],
    ),
    "audit.first_wrong_step": Bank(
        wrong=[
            ("starts over", ("total = numbers[0]\n            continue", "continue")),
            (
                "not in each anew",
                ("            continue", "            number = 0\n            continue"),
            ),
            (
                "are not numbered",
                ("            continue", "            number += 1\n            continue"),
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
                ("        if total + int(step) != int(written):\n            return number\n", ""),
            ),
            ("came out", ("return number", "return word")),
            ("came out", ("!= int(written)", "> int(written)")),
        ],
        right=[
            _WRONG + "    import re\n    place, total = 0, numbers[0]\n    for sign, digit, out, "
            "verdict in re.findall(r'([+-])(\\d+)=(-?\\d+)|(yes|no)', thinking):\n        "
            "if verdict:\n            total = numbers[0]\n        else:\n            total += "
            "int(digit) if sign == '+' else -int(digit)\n            if total != int(out):\n"
            "                return place\n            place += 1\n",
            _WRONG + "    steps = []\n    before = numbers[0]\n    for w in thinking.split():\n"
            "        if '=' in w:\n            a, b = map(int, w.split('='))\n            "
            "steps.append(before + a == b)\n            before = b\n        else:\n            "
            "before = numbers[0]\n    return steps.index(False) if False in steps else None\n",
            _WRONG + "    import numpy as np\n    wrong, n = [], 0\n    for attempt in "
            "thinking.replace('yes', 'no').split('no'):\n        words = [w.split('=') for w in "
            "attempt.split()]\n        signed = np.array([int(a) for a, _ in words], int)\n        "
            "written = np.array([int(b) for _, b in words], int)\n        start = np.concatenate(["
            "[numbers[0]], written[:-1]]) if len(words) else written\n        wrong += (n + "
            "np.flatnonzero(start + signed != written)).tolist()\n        n += len(words)\n    "
            "return wrong[0] if wrong else None\n",
        ],
    ),
}
