"""Submissions to lesson 09."""

from bank import Bank

_LORA = "def my_lora(x, W, A, B, alpha):\n"
_KEEP = "def keep_right(answers, truths, most):\n"
_CROSS = "def carry_over(ids, teacher, student, eos):\n"
_LOST = "def my_perplexity(logits, ids):\n"
_LONGEST = "max(fits, key=lambda i: len(student[i]))"
_SCALE = "(alpha / r)"
_ENDS = 'text.endswith(f"Answer: {truth}")'

BANKS = {
    "real.cross": Bank(
        wrong=[
            ("the teacher's ids", _CROSS + "    return [*ids, eos]"),
            ("not the longest", (_LONGEST, "fits[0]")),
            ("take the longest", (_LONGEST, "min(fits, key=lambda i: len(student[i]))")),
            (
                "join the text first",
                _CROSS
                + """\
    found = []
    for text in (teacher[i] for i in ids):
        while text:
            fits = [i for i, piece in enumerate(student) if text.startswith(piece)]
            if not fits:
                return None
            best = max(fits, key=lambda i: len(student[i]))
            found.append(best)
            text = text[len(student[best]) :]
    return [*found, eos]""",
            ),
            ("brings its own", ('"".join', '" ".join')),
            ("never to stop", ("[*found, eos]", "found")),
            (
                "a wrong trace",
                ("            return None", "            text = text[1:]\n            continue"),
            ),
            ("cut off", ("            return None", "            break")),
            ("not pieces", ("[*found, eos]", "[student[i] for i in [*found, eos]]")),
            ("came out", ("text.startswith(piece)", "piece in text")),
            ("came out", ("text[len(student[best]) :]", "text[1:]")),
            ("ValueError", ("        if not fits:\n            return None\n", "")),
        ],
        right=[
            _CROSS
            + """\
    text, out, at = "".join(map(teacher.__getitem__, ids)), [], 0
    longest_first = sorted(student, key=len, reverse=True)
    while at < len(text):
        piece = next((one for one in longest_first if text.startswith(one, at)), None)
        if piece is None:
            return None
        out.append(student.index(piece))
        at += len(piece)
    return out + [eos]""",
            _CROSS
            + """\
    place = {piece: i for i, piece in enumerate(student)}
    text, out = "", []
    for i in ids:
        text += teacher[i]
    while text:
        for size in range(len(text), 0, -1):
            if text[:size] in place:
                out.append(place[text[:size]])
                text = text[size:]
                break
        else:
            return None
    return tuple(out) + (eos,)""",
            ("return [*found, eos]", "found.append(eos)\n    return found"),
        ],
    ),
    "real.perplexity": Bank(
        wrong=[
            (
                "row 0 belongs to token 1",
                (
                    ("logits[:-1]", "logits"),
                    ("torch.arange(len(ids) - 1), ids[1:]", "torch.arange(len(ids)), ids"),
                ),
            ),
            ("one token back", (("logits[:-1]", "logits[1:]"), ("ids[1:]", "ids[:-1]"))),
            ("take log_softmax", (".log_softmax(dim=-1)", "")),
            (
                "over the vocabulary",
                ("logits[:-1].log_softmax(dim=-1)", "logits.log_softmax(dim=0)[:-1]"),
            ),
            ("This is the loss", ("torch.exp(-said.mean())", "-said.mean()")),
            ("not with 2", ("torch.exp(-said.mean())", "2 ** -said.mean()")),
            ("minus their mean", ("-said.mean()", "said.mean()")),
            ("not added up", ("said.mean()", "said.sum()")),
            ("is not counted", ("said.mean()", "said.sum() / len(ids)")),
            ("own perplexities", ("torch.exp(-said.mean())", "torch.exp(-said).mean()")),
            ("not the probabilities", ("torch.exp(-said.mean())", "1 / said.exp().mean()")),
            ("came out", ("ids[1:]", "ids[:-1]")),
        ],
        right=[
            _LOST
            + "    return torch.nn.functional.cross_entropy(logits[:-1], ids[1:]).exp().item()",
            _LOST
            + """\
    total = 0.0
    for at in range(len(ids) - 1):
        p = torch.softmax(logits[at], 0)[ids[at + 1]]
        total -= math.log(float(p))
    return math.exp(total / (len(ids) - 1))""",
            ("logp[torch.arange(len(ids) - 1), ids[1:]]", "logp.gather(1, ids[1:, None])"),
        ],
    ),
    "real.lora": Bank(
        wrong=[
            ("leave out the rank", (_SCALE, "alpha")),
            ("leave out alpha", (_SCALE, "(1 / r)")),
            ("not scaled", (_SCALE + " * ", "")),
            ("turned round", (_SCALE, "(r / alpha)")),
            ("not of its columns", ("A.shape[0]", "A.shape[1]")),
            ("root of r", (_SCALE, "(alpha / r**0.5)")),
            ("is missing", ("x @ W.T + ", "")),
            (
                "stays as it is",
                ("x @ W.T + (alpha / r) *", "(alpha / r) * x @ W.T + (alpha / r) *"),
            ),
            ("there twice", ("x @ W.T", "2 * x @ W.T")),
            ("not taken off", (" + (alpha", " - (alpha")),
            ("nothing of it reaches", ("x @ A.T", "x @ A.detach().T")),
        ],
        right=[
            _LORA + "    return x @ (W + alpha / len(A) * B @ A).T",
            _LORA
            + "    return torch.nn.functional.linear(x, W) + ((x @ A.T) * (alpha / A.shape[0])) @ B.T",
            _LORA + '    return torch.einsum("ni,oi->no", x, W + (B @ A) * alpha / B.shape[1])',
        ],
    ),
    "real.keep_right": Bank(
        wrong=[
            ("only right ones teach", (_ENDS, '"Answer: " in text')),
            ("anywhere", (_ENDS, 'f"Answer: {truth}" in text')),
            (
                "right digits is not enough",
                (f'{_ENDS} and text.count("Answer:") == 1', "text.endswith(str(truth))"),
            ),
            ("twice has not answered", (' and text.count("Answer:") == 1', "")),
            ("kept twice", ("text not in own and ", "")),
            (
                "within its own question",
                ("text not in own", "text not in own and text not in [t for _, t in kept]"),
            ),
            ("a limit for each", (" and len(own) < most", "")),
            ("not for all of them", ("len(own) < most", "len(kept) + len(own) < most")),
            ("take the first", ("for text in texts:", "for text in texts[:most]:")),
            ("is a pair", ("(number, text) for text", "text for text")),
            (
                "a copy takes no place",
                (
                    ("text not in own and ", ""),
                    ("for text in own]", "for text in dict.fromkeys(own)]"),
                ),
            ),
            (
                "blanks and line ends before",
                ("for text in texts:", "for text in map(str.lstrip, texts):"),
            ),
            (
                "capitals make another",
                ("text not in own", "text.lower() not in map(str.lower, own)"),
            ),
            (
                "in another line",
                ('text.count("Answer:")', 'text.splitlines()[-1].count("Answer:")'),
            ),
        ],
        right=[
            _KEEP
            + """\
    pairs = []
    for i, texts in enumerate(answers):
        good = [t for t in dict.fromkeys(texts) if t.count("Answer:") == 1 and t.endswith(f"Answer: {truths[i]}")]
        pairs.extend((i, t) for t in good[:most])
    return pairs""",
            _KEEP
            + """\
    import re
    kept = []
    for i, (texts, truth) in enumerate(zip(answers, truths)):
        seen = set()
        for text in texts:
            head, mark, tail = text.partition("Answer:")
            if mark and tail == f" {truth}" and text not in seen and len(seen) < most:
                seen.add(text)
                kept.append((i, text))
    return kept""",
            (
                "kept += [(number, text) for text in own]",
                "kept.extend([number, text] for text in own)",
            ),
        ],
    ),
}
