"""Submissions to lesson 04."""

from bank import Bank

_STARTS = (
    'starts_from = {"cold start": "%s", "reasoning RL": "%s", "rejection sampling and SFT": "%s", '
    '"preference RL": "%s"}'
)
_MIXED = '"consistency"] < 1'

BANKS = {
    "pipeline.starts_from": Bank(
        wrong=[
            ("Dev2 makes the data", _STARTS % ("base", "Dev1", "Dev2", "Dev3")),
            ("only wrote its raw material", _STARTS % ("R1-Zero", "Dev1", "base", "Dev3")),
            ("would be R1-Zero", _STARTS % ("base", "base", "base", "Dev3")),
            ("SFT just before it", _STARTS % ("base", "Dev1", "base", "Dev2")),
            ("first and the third", _STARTS % ("base", "base", "base", "base")),
            ("not it yet", _STARTS % ("base", "Dev1", "Dev1", "Dev3")),
            ("not it yet", _STARTS % ("base", "Dev1", "base", "Dev1")),
            ("not it yet", 'starts_from = ["base", "Dev1", "base", "Dev3"]'),
            ("not it yet", 'starts_from = {"cold start": "base"}'),
        ],
        right=[
            _STARTS % ("base", "Dev1", "base", "Dev3"),
            'starts_from = dict(zip(["preference RL", "reasoning RL", "cold start", "rejection '
            'sampling and SFT"], ["Dev3", "Dev1", "base", "base"]))',
            "from collections import OrderedDict\nstarts_from = OrderedDict([('cold start', 'base')"
            ", ('reasoning RL', 'Dev1'), ('rejection sampling and SFT', 'base'), "
            "('preference RL', 'Dev3')])",
        ],
    ),
    "pipeline.language_consistency": Bank(
        wrong=[
            (
                "counts for neither",
                "def language_consistency(thinking, language):\n    steps = [w "
                "for w in thinking.split() if w[0] in '+-']\n    test = str.isdigit if language == "
                "'digits' else str.isalpha\n    return sum(any(map(test, s)) for s in steps) / "
                "len(steps) if steps else 1.0\n",
            ),
            (
                "are verdicts",
                ('[word for word in thinking.split() if word[0] in "+-"]', "thinking.split()"),
            ),
            ("consistent: 1.0", ("return 1.0", "return 0.0")),
            ("divides by 0", ("if not steps:\n        return 1.0", "pass")),
            ("their share", ("good / len(steps)", "float(good)")),
            ("all or nothing", ("return good / len(steps)", "return float(good == len(steps))")),
            (
                "percentage",
                (("good / len(steps)", "100 * good / len(steps)"), ("return 1.0", "return 100.0")),
            ),
            ("other language", ('language == "digits"', 'language == "words"')),
            ("mixes both", ("(digits and not words)", "(digits or words)")),
            ("in words", ("any(letter.isalpha() for letter in step)", "step[1:].isalpha()")),
            ("came out", ('in "+-"]', 'in "+"]')),
        ],
        right=[
            "import re\ndef language_consistency(thinking, language):\n    steps = re.findall("
            "r'(?:^|\\s)([+-]\\S*)', thinking)\n    wrong = '[a-z]' if language == 'digits' else "
            "'[0-9]'\n    return 1 - sum(bool(re.search(wrong, s)) for s in steps) / "
            "max(len(steps), 1)\n",
            "def language_consistency(thinking, language):\n    good = bad = 0\n    for word in "
            "thinking.split(' '):\n        if word in ('', 'yes', 'no'):\n            continue\n"
            "        kinds = {c.isdigit() for c in word if c not in '+-='}\n        if kinds == "
            "{language == 'digits'}:\n            good += 1\n        else:\n            bad += 1\n"
            "    return good / (good + bad) if good + bad else 1.0\n",
            "import numpy as np\ndef language_consistency(thinking, language):\n    steps = [w for "
            "w in thinking.split() if w not in {'yes', 'no'}]\n    def fits(s):\n        n = "
            "sum(c.isdigit() for c in s)\n        a = sum(c.isalpha() for c in s)\n        return "
            "(n > 0 == a) if language == 'digits' else (a > 0 == n)\n    return np.mean([fits(s) "
            "for s in steps]) if steps else 1\n",
        ],
    ),
    "pipeline.keep": Bank(
        wrong=[
            (
                "one reason, the first",
                (
                    ('elif not sample["right"]', 'if not sample["right"]'),
                    ('elif sample["consistency"]', 'if sample["consistency"]'),
                    ('elif sample["text"] in kept', 'if sample["text"] in kept'),
                    (
                        "        else:\n",
                        "        if sample['closed'] and "
                        "sample['right'] and sample['consistency'] == 1 and "
                        "sample['text'] not in kept:\n",
                    ),
                ),
            ),
            (
                "compare with what is kept",
                (
                    ("kept, reasons = [], ", "seen = []\n    kept, reasons = [], "),
                    ('sample["text"] in kept', 'sample["text"] in seen'),
                    (
                        'kept.append(sample["text"])\n',
                        'kept.append(sample["text"])\n        seen.append(sample["text"])\n',
                    ),
                ),
            ),
            ("nearly consistent", (_MIXED, '"consistency"] < 0.9')),
            ("Unclosed thoughts must go", ('if not sample["closed"]', "if False")),
            ("Wrong answers must go", ('not sample["right"]', "False")),
            ("Mixed notation must go", ('sample["consistency"] < 1', "False")),
            ("kept twice", ('sample["text"] in kept', "False")),
            (
                "unclosed comes before wrong",
                (
                    ('not sample["closed"]', 'not sample["XX"]'),
                    ('"unclosed"] += 1', '"YY"] += 1'),
                    ('not sample["right"]', 'not sample["closed"]'),
                    ('"wrong"] += 1', '"unclosed"] += 1'),
                    ('not sample["XX"]', 'not sample["right"]'),
                    ('"YY"] += 1', '"wrong"] += 1'),
                ),
            ),
            ("came out", ("return kept, reasons", "return kept")),
            ("came out", ('kept.append(sample["text"])', "kept.append(sample)")),
            ("duplicate", ('reasons["duplicate"] += 1', "pass")),
        ],
        right=[
            "def keep_samples(samples):\n    kept = {}\n    counts = dict.fromkeys(['unclosed', "
            "'wrong', 'mixed', 'duplicate'], 0)\n    for s in samples:\n        tests = [('unclosed'"
            ", not s['closed']), ('wrong', not s['right']), ('mixed', s['consistency'] != 1.0), "
            "('duplicate', s['text'] in kept)]\n        reason = next((n for n, bad in tests if "
            "bad), None)\n        if reason:\n            counts[reason] += 1\n        else:\n"
            "            kept[s['text']] = True\n    return list(kept), counts\n",
            "def keep_samples(samples):\n    n = {'duplicate': 0, 'mixed': 0, 'wrong': 0, "
            "'unclosed': 0}\n    closed = [s for s in samples if s['closed']]\n    right = [s for "
            "s in closed if s['right']]\n    pure = [s for s in right if s['consistency'] >= 1]\n"
            "    kept = list(dict.fromkeys(s['text'] for s in pure))\n    n['unclosed'] = "
            "len(samples) - len(closed)\n    n['wrong'] = len(closed) - len(right)\n    n['mixed'] "
            "= len(right) - len(pure)\n    n['duplicate'] = len(pure) - len(kept)\n"
            "    return kept, n\n",
            "def keep_samples(samples):\n    kept, why = [], []\n    while samples:\n        s = "
            "samples.pop(0)\n        if s['closed'] and s['right'] and s['consistency'] == 1 and "
            "s['text'] not in kept:\n            kept += [s['text']]\n        else:\n            "
            "why.append('unclosed' if not s['closed'] else 'wrong' if not s['right'] else 'mixed' "
            "if s['consistency'] < 1 else 'duplicate')\n    return kept, {r: why.count(r) for r in "
            "('unclosed', 'wrong', 'mixed', 'duplicate')}\n",
        ],
    ),
    "pipeline.sft_labels": Bank(
        wrong=[
            ("prompt is trained", ("[-100] * len(prompt)", "prompt")),
            (
                "other way round",
                ("[-100] * len(prompt) + completion", "prompt + [-100] * len(completion)"),
            ),
            ("one -100 for each", ("[-100] * len(prompt) + completion", "list(completion)")),
            (
                "first token of the completion",
                (
                    "[-100] * len(prompt) + completion",
                    "[-100] * (len(prompt) + 1) + completion[1:]",
                ),
            ),
            ("0 is a token", (("[-100] * len", "[0] * len"), ("[-100] * (", "[0] * ("))),
            ("-1 is not left out", (("[-100] * len", "[-1] * len"), ("[-100] * (", "[-1] * ("))),
            ("Padding must not", ("[-100] * (length", "[0] * (length")),
            ("must be cut", ("[:length]", "")),
            ("cut at the end", ("[:length]", "[-length:]")),
            ("one of padding", ("(length - len(row))", "(length - len(row) - 1)")),
            (
                "one of padding",
                ("row + [-100] * (length - len(row))", "[-100] * (length - len(row)) + row"),
            ),
        ],
        right=[
            "def sft_labels(prompt, completion, length):\n    row = prompt + completion\n    "
            "return [row[i] if len(prompt) <= i < len(row) else -100 for i in range(length)]\n",
            "import numpy as np\ndef sft_labels(prompt, completion, length):\n    row = np.full("
            "max(length, len(prompt) + len(completion)), -100)\n    row[len(prompt):len(prompt) + "
            "len(completion)] = completion\n    return row[:length]\n",
            "def sft_labels(prompt, completion, length):\n    labels = torch.full((length,), -100)\n"
            "    for place, token in enumerate(completion, start=len(prompt)):\n        if place < "
            "length:\n            labels[place] = token\n    return labels.tolist()\n",
            "def sft_labels(prompt, completion, length):\n    for i in range(len(prompt)):\n"
            "        prompt[i] = -100\n    prompt.extend(completion)\n    del prompt[length:]\n"
            "    while len(prompt) < length:\n        prompt.append(-100)\n    return prompt\n",
        ],
    ),
    "pipeline.preference_loss": Bank(
        wrong=[
            ("chosen minus rejected", ("chosen - rejected", "rejected - chosen")),
            (
                "is a probability",
                "def preference_loss(chosen, rejected):\n"
                "    return torch.sigmoid(chosen - rejected).mean()\n",
            ),
            (
                "use logsigmoid",
                "def preference_loss(chosen, rejected):\n"
                "    return -torch.log(torch.sigmoid(chosen - rejected)).mean()\n",
            ),
            ("Sum over pairs", (".mean()", ".sum()")),
            (
                "plain margin",
                ("torch.nn.functional.logsigmoid(chosen - rejected)", "(chosen - rejected)"),
            ),
            (
                "hinge",
                "def preference_loss(chosen, rejected):\n"
                "    return (1 - (chosen - rejected)).clamp(min=0).mean()\n",
            ),
            ("a loss is positive", ("return -", "return ")),
            (
                "each pair first",
                "def preference_loss(chosen, rejected):\n"
                "    return -torch.sigmoid(chosen - rejected).mean().log()\n",
            ),
            ("log 2", ("chosen - rejected", "chosen")),
            ("-log(sigmoid(2))", ("chosen - rejected", "0.1 * (chosen - rejected)")),
            (
                "costs 800",
                "def preference_loss(chosen, rejected):\n    m = (chosen - rejected)"
                ".clamp(-50, 50)\n    return -torch.nn.functional.logsigmoid(m).mean()\n",
            ),
            ("-log(sigmoid(2))", (".mean()", "")),
        ],
        right=[
            "def preference_loss(chosen, rejected):\n"
            "    return torch.nn.functional.softplus(rejected - chosen).mean()\n",
            "import numpy as np\ndef preference_loss(chosen, rejected):\n    m = chosen.double()"
            ".numpy() - rejected.double().numpy()\n    return np.logaddexp(0, -m).mean()\n",
            "import math\ndef preference_loss(chosen, rejected):\n    total = 0\n    for c, r in "
            "zip(chosen.tolist(), rejected.tolist()):\n        m = r - c\n        total += max(m, "
            "0) + math.log1p(math.exp(-abs(m)))\n    return total / len(chosen)\n",
            "def preference_loss(chosen, rejected):\n    pairs = torch.stack([chosen, rejected])\n"
            "    return -pairs.log_softmax(0)[0].mean()\n",
        ],
    ),
}
