"""Submissions to lesson 09."""

from bank import Bank

_LORA = "def my_lora(x, W, A, B, alpha):\n"
_KEEP = "def keep_right(answers, truths, most):\n"
_SCALE = "(alpha / r)"
_ENDS = 'text.endswith(f"Answer: {truth}")'

BANKS = {
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
