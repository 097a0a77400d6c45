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
            """\
from collections import OrderedDict

starts_from = OrderedDict(
    [
        ('cold start', 'base'),
        ('reasoning RL', 'Dev1'),
        ('rejection sampling and SFT', 'base'),
        ('preference RL', 'Dev3'),
    ]
)
""",
        ],
    ),
    "pipeline.language_consistency": Bank(
        wrong=[
            (
                "counts for neither",
                """\
def language_consistency(thinking, language):
    steps = [w for w in thinking.split() if w[0] in '+-']
    test = str.isdigit if language == 'digits' else str.isalpha
    return sum(any(map(test, s)) for s in steps) / len(steps) if steps else 1.0
""",
            ),
            (
                "are verdicts",
                ('[word for word in thinking.split() if word[0] in "+-"]', "thinking.split()"),
            ),
            ("consistent: 1.0", ("return 1.0", "return 0.0")),
            (
                "divides by 0",
                (
                    """\
if not steps:
        return 1.0""",
                    "pass",
                ),
            ),
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
            """\
import re
def language_consistency(thinking, language):
    steps = re.findall(r'(?:^|\\s)([+-]\\S*)', thinking)
    wrong = '[a-z]' if language == 'digits' else '[0-9]'
    return 1 - sum(bool(re.search(wrong, s)) for s in steps) / max(len(steps), 1)
""",
            """\
def language_consistency(thinking, language):
    good = bad = 0
    for word in thinking.split(' '):
        if word in ('', 'yes', 'no'):
            continue
        kinds = {c.isdigit() for c in word if c not in '+-='}
        if kinds == {language == 'digits'}:
            good += 1
        else:
            bad += 1
    return good / (good + bad) if good + bad else 1.0
""",
            """\
import numpy as np
def language_consistency(thinking, language):
    steps = [w for w in thinking.split() if w not in {'yes', 'no'}]
    def fits(s):
        n = sum(c.isdigit() for c in s)
        a = sum(c.isalpha() for c in s)
        return (n > 0 == a) if language == 'digits' else (a > 0 == n)
    return np.mean([fits(s) for s in steps]) if steps else 1
""",
            """\
import re
def language_consistency(thinking, language):
    steps = [w for w in thinking.split() if w not in ('yes', 'no')]
    one = {'digits': r'[+-][0-9]=-?[0-9]+', 'words': r'[+-][a-z]+=-?[a-z]+(-[a-z]+)?'}[language]
    return sum(bool(re.fullmatch(one, s)) for s in steps) / len(steps) if steps else 1.0
""",
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
                        """\
        good = sample['closed'] and sample['right'] and sample['consistency'] == 1
        if good and sample['text'] not in kept:
""",
                    ),
                ),
            ),
            (
                "compare with what is kept",
                (
                    (
                        "kept, reasons = [], ",
                        """\
seen = []
    kept, reasons = [], """,
                    ),
                    ('sample["text"] in kept', 'sample["text"] in seen'),
                    (
                        'kept.append(sample["text"])\n',
                        """\
kept.append(sample["text"])
        seen.append(sample["text"])
""",
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
            """\
def keep_samples(samples):
    kept = {}
    counts = dict.fromkeys(['unclosed', 'wrong', 'mixed', 'duplicate'], 0)
    for s in samples:
        tests = [
            ('unclosed', not s['closed']),
            ('wrong', not s['right']),
            ('mixed', s['consistency'] != 1.0),
            ('duplicate', s['text'] in kept),
        ]
        reason = next((n for n, bad in tests if bad), None)
        if reason:
            counts[reason] += 1
        else:
            kept[s['text']] = True
    return list(kept), counts
""",
            """\
def keep_samples(samples):
    n = {'duplicate': 0, 'mixed': 0, 'wrong': 0, 'unclosed': 0}
    closed = [s for s in samples if s['closed']]
    right = [s for s in closed if s['right']]
    pure = [s for s in right if s['consistency'] >= 1]
    kept = list(dict.fromkeys(s['text'] for s in pure))
    n['unclosed'] = len(samples) - len(closed)
    n['wrong'] = len(closed) - len(right)
    n['mixed'] = len(right) - len(pure)
    n['duplicate'] = len(pure) - len(kept)
    return kept, n
""",
            """\
def keep_samples(samples):
    kept, why = [], []
    while samples:
        s = samples.pop(0)
        if s['closed'] and s['right'] and s['consistency'] == 1 and s['text'] not in kept:
            kept += [s['text']]
        else:
            why.append(
                'unclosed'
                if not s['closed']
                else 'wrong'
                if not s['right']
                else 'mixed'
                if s['consistency'] < 1
                else 'duplicate'
            )
    return kept, {r: why.count(r) for r in ('unclosed', 'wrong', 'mixed', 'duplicate')}
""",
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
            """\
def sft_labels(prompt, completion, length):
    row = prompt + completion
    return [row[i] if len(prompt) <= i < len(row) else -100 for i in range(length)]
""",
            """\
import numpy as np
def sft_labels(prompt, completion, length):
    row = np.full(max(length, len(prompt) + len(completion)), -100)
    row[len(prompt):len(prompt) + len(completion)] = completion
    return row[:length]
""",
            """\
def sft_labels(prompt, completion, length):
    labels = torch.full((length,), -100)
    for place, token in enumerate(completion, start=len(prompt)):
        if place < length:
            labels[place] = token
    return labels.tolist()
""",
            """\
def sft_labels(prompt, completion, length):
    for i in range(len(prompt)):
        prompt[i] = -100
    prompt.extend(completion)
    del prompt[length:]
    while len(prompt) < length:
        prompt.append(-100)
    return prompt
""",
        ],
    ),
    "pipeline.preference_loss": Bank(
        wrong=[
            ("chosen minus rejected", ("chosen - rejected", "rejected - chosen")),
            (
                "is a probability",
                """\
def preference_loss(chosen, rejected):
    return torch.sigmoid(chosen - rejected).mean()
""",
            ),
            (
                "use logsigmoid",
                """\
def preference_loss(chosen, rejected):
    return -torch.log(torch.sigmoid(chosen - rejected)).mean()
""",
            ),
            ("Sum over pairs", (".mean()", ".sum()")),
            (
                "plain margin",
                ("torch.nn.functional.logsigmoid(chosen - rejected)", "(chosen - rejected)"),
            ),
            (
                "hinge",
                """\
def preference_loss(chosen, rejected):
    return (1 - (chosen - rejected)).clamp(min=0).mean()
""",
            ),
            ("a loss is positive", ("return -", "return ")),
            (
                "each pair first",
                """\
def preference_loss(chosen, rejected):
    return -torch.sigmoid(chosen - rejected).mean().log()
""",
            ),
            ("log 2", ("chosen - rejected", "chosen")),
            ("-log(sigmoid(2))", ("chosen - rejected", "0.1 * (chosen - rejected)")),
            (
                "costs 800",
                """\
def preference_loss(chosen, rejected):
    m = (chosen - rejected).clamp(-50, 50)
    return -torch.nn.functional.logsigmoid(m).mean()
""",
            ),
            ("-log(sigmoid(2))", (".mean()", "")),
            ("no tensor", (".mean()", ".mean().item()")),
            ("reaches `rejected`", ("- rejected", "- rejected.detach()")),
        ],
        right=[
            """\
def preference_loss(chosen, rejected):
    return torch.nn.functional.softplus(rejected - chosen).mean()
""",
            """\
def preference_loss(chosen, rejected):
    m = chosen.double() - rejected.double()
    return torch.logaddexp(torch.zeros_like(m), -m).mean()
""",
            """\
def preference_loss(chosen, rejected):
    total = 0
    for c, r in zip(chosen, rejected):
        total = total - torch.nn.functional.logsigmoid(c - r)
    return total / len(chosen)
""",
            """\
def preference_loss(chosen, rejected):
    pairs = torch.stack([chosen, rejected])
    return -pairs.log_softmax(0)[0].mean()
""",
            """\
def preference_loss(chosen, rejected):
    return (torch.stack([chosen, rejected]).logsumexp(0) - chosen).mean()
""",
        ],
    ),
}
