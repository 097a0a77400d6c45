"""Submissions to lesson 06."""

from bank import Bank

_KV = "def my_kv_cache_bytes(config, tokens, bytes_per_value=2):\n"
_LONGEST = """\
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
"""
_QUANTISE = "def my_quantise(values, bits):\n"
_PARSE = "def my_parse_trace(text, prefilled=False):\n"
_COUNT = "def count_attempts(thinking):\n"

BANKS = {
    "memory.by_hand": Bank(
        wrong=[
            ("all 28 heads", "bytes_per_token = 28 * 2 * 28 * 128 * 2"),
            ("there are two of them", "bytes_per_token = 28 * 4 * 128 * 2"),
            ("one layer", "bytes_per_token = 2 * 4 * 128 * 2"),
            ("not bits", "bytes_per_token = 28 * 2 * 4 * 128 * 16"),
            ("there are 4", "bytes_per_token = 28 * 2 * 128 * 2"),
            ("in KiB", "bytes_per_token = 28 * 2 * 4 * 128 * 2 / 1024"),
            ("in kB", "bytes_per_token = 57.344"),
            ("not it yet", "bytes_per_token = 57"),
            ("not it yet", "bytes_per_token = 57345"),
            ("not it yet", "bytes_per_token = '57344'"),
            ("not it yet", "bytes_per_token = 56 * 1000"),
        ],
        right=[
            "bytes_per_token = 57344",
            "bytes_per_token = 56 * 1024",
            "bytes_per_token = 57344.0",
        ],
    ),
    "memory.kv_cache_bytes": Bank(
        wrong=[
            ("not num_attention_heads", ("num_key_value_heads", "num_attention_heads")),
            ("two of them", ("2 * config", "config")),
            ("Every layer", ('config["num_hidden_layers"] * ', "")),
            ("every token", (" * tokens", "")),
            ("bytes_per_value is not used", ("* bytes_per_value", "* 2")),
            ("count of numbers", (" * bytes_per_value", "")),
            ("not bits", ("* bytes_per_value", "* bytes_per_value * 8")),
            ("rotary key", (' + config["qk_rope_head_dim"]', "")),
            (
                "kept once",
                (
                    'config["kv_lora_rank"] + config["qk_rope_head_dim"]',
                    '2 * (config["kv_lora_rank"] + config["qk_rope_head_dim"])',
                ),
            ),
            (
                "share one latent",
                (
                    'config["kv_lora_rank"] + config["qk_rope_head_dim"]',
                    'config["num_attention_heads"] * (config["kv_lora_rank"] + '
                    'config["qk_rope_head_dim"])',
                ),
            ),
            (
                "one latent for all heads",
                ('config["kv_lora_rank"] + config', '2 * config["kv_lora_rank"] + config'),
            ),
            ("KeyError", ('if "kv_lora_rank" in config', 'if "q_lora_rank" in config')),
        ],
        right=[
            _KV
            + """\
    total = 0
    for _ in range(config['num_hidden_layers']):
        if config.get('kv_lora_rank'):
            total += config['kv_lora_rank']
            total += config['qk_rope_head_dim']
        else:
            total += config['head_dim'] * config['num_key_value_heads'] * 2
    return tokens * total * bytes_per_value
""",
            _KV
            + """\
    import numpy as np
    n = [config['num_hidden_layers'], tokens, bytes_per_value]
    try:
        n.append(config['kv_lora_rank'] + config['qk_rope_head_dim'])
    except KeyError:
        n += [2, config['num_key_value_heads'], config['head_dim']]
    return np.prod(n, dtype=np.float64)
""",
            (("return config", "return 1.0 * config"),),
        ],
    ),
    "memory.longest_context": Bank(
        wrong=[
            ("2**30 bytes, not 10**9", ("* 2**30", "* 10**9")),
            ("10**9 bytes, not 2**30", ("* 10**9", "* 2**30")),
            ("exchanged", (("2**30", "10**8 * 10"), ("10**9", "2**30"))),
            ("overhead must be taken off", ("(memory_gib - overhead_gib)", "memory_gib")),
            ("round down", ("int(left // bytes_per_token)", "-int(-left // bytes_per_token)")),
            ("round down", ("int(left // bytes_per_token)", "round(left / bytes_per_token)")),
            ("Tokens are whole", ("int(left // bytes_per_token)", "left / bytes_per_token")),
            (
                "the answer is 0",
                ("max(0, int(left // bytes_per_token))", "int(left // bytes_per_token)"),
            ),
            ("57,344", (" - file_gb * 10**9", "")),
            ("57,344", ("(memory_gib - overhead_gib)", "(memory_gib + overhead_gib)")),
            ("57,344", ("return max(0, int(left // bytes_per_token))", "return 4096")),
        ],
        right=[
            _LONGEST
            + """\
    import math
    free = memory_gib * 1024**3 - overhead_gib * 1024**3 - file_gb * 1e9
    return math.floor(free / bytes_per_token) if free > 0 else 0
""",
            _LONGEST
            + """\
    import numpy as np
    free = np.float64(memory_gib - overhead_gib) * 2**30 - file_gb * 1e9
    return int(np.clip(np.floor(free / bytes_per_token), 0, None))
""",
            _LONGEST
            + """\
    free = (memory_gib - overhead_gib) * 2**30 - file_gb * 1e9
    if free < 0:
        return 0
    return int(divmod(free, bytes_per_token)[0])
""",
            _LONGEST
            + """\
    free_gb = memory_gib * 1.073741824 - file_gb - overhead_gib * 1.073741824
    return max(0, int(free_gb * 1e9 / bytes_per_token))
""",
        ],
    ),
    "memory.quantise": Bank(
        wrong=[
            ("8 does not exist", ("2 ** (bits - 1) - 1", "2 ** (bits - 1)")),
            ("One bit is for the sign", ("2 ** (bits - 1) - 1", "2 ** bits - 1")),
            ("*size* counts", ("max(abs(value) for value in values)", "max(values)")),
            ("not down", ("round(value / scale)", "__import__('math').floor(value / scale)")),
            ("cuts towards 0", ("round(value / scale)", "int(value / scale)")),
            ("signs are lost", ("round(value / scale)", "round(abs(value) / scale)")),
            ("scale is turned round", ("return scale, [", "return 1 / scale, [")),
            (
                "divides by 0",
                (
                    """\
if scale == 0:
        return 0.0, [0] * len(values)""",
                    "pass",
                ),
            ),
            (
                "not from the mean",
                (
                    "max(abs(value) for value in values)",
                    "sum(abs(value) for value in values) / len(values)",
                ),
            ),
            ("came out", ("round(value / scale)", "value / scale")),
            ("came out", ("round(value / scale)", "round(value * scale)")),
            (
                "came out",
                (
                    "return scale, [round(value / scale) for value in values]",
                    "return [round(value / scale) for value in values]",
                ),
            ),
            ("numbers that cancel", ("scale == 0", "sum(values) == 0")),
        ],
        right=[
            _QUANTISE
            + """\
    import numpy as np
    v = np.array(values)
    scale = np.abs(v).max() / (2 ** (bits - 1) - 1)
    if not scale:
        return 0.0, np.zeros(len(v), int)
    return scale, np.rint(v / scale).astype(np.int64)
""",
            _QUANTISE
            + """\
    import math
    top = (1 << (bits - 1)) - 1
    big = max(max(values), -min(values))
    if big == 0:
        return 0, [0 for _ in values]
    out = []
    for v in values:
        q = math.floor(abs(v) * top / big + 0.5)
        out.append(q if v >= 0 else -q)
    return big / top, out
""",
            _QUANTISE
            + """\
    import torch
    v = torch.tensor(values, dtype=torch.float64)
    s = (v.abs().max() / (2 ** (bits - 1) - 1)).item()
    for i in range(len(values)):
        values[i] = round(values[i] / s) if s else 0
    return s, values
""",
        ],
    ),
    "traces.parse": Bank(
        wrong=[
            ("cut off in the thought", ("body.startswith", "text.startswith")),
            ("nothing follows", ("if not closing", "if not answer")),
            (
                "put it into the prompt",
                _PARSE
                + """\
    body = text.strip()
    if not body.startswith('<think>'):
        return '', body
    body = body[7:]
    if '</think>' not in body:
        return body.strip(), ''
    t, a = body.split('</think>', 1)
    return t.strip(), a.strip()
""",
            ),
            (
                "without an opening one",
                _PARSE
                + """\
    body = text.strip()
    opened = body.startswith('<think>')
    if not opened and not prefilled:
        return '', body
    t, _, a = body.removeprefix('<think>').partition('</think>')
    return t.strip(), a.strip()
""",
            ),
            (
                "not at the last",
                (
                    'body.partition("</think>")',
                    'body.rpartition("</think>") if "</think>" in body else (body, "", "")',
                ),
            ),
            ("has no answer", ("if not closing and not (opened or prefilled):", "if not closing:")),
            ("cut off is thought", ("(opened or prefilled)", "opened")),
            ("text is an answer", ("if not closing and not (opened or prefilled):", "if False:")),
            (
                "only at the beginning",
                (
                    ('body.startswith("<think>")', '"<think>" in body'),
                    ('body.removeprefix("<think>")', 'body.split("<think>", 1)[-1]'),
                ),
            ),
            ("no part of the thought", ('body = body.removeprefix("<think>")', "pass")),
            (
                "leave them",
                (
                    "return thinking.strip(), answer.strip()",
                    'return thinking.strip(), answer.replace("</think>", "").strip()',
                ),
            ),
            ("must go", ("return thinking.strip(), answer.strip()", "return thinking, answer")),
            (
                "exchanged",
                (
                    "return thinking.strip(), answer.strip()",
                    "return (answer.strip(), thinking.strip()) if closing else "
                    "(thinking.strip(), answer.strip())",
                ),
            ),
            ("blanks before", ("text.lstrip()", "text")),
            ("both tags are there", ("answer.strip()", "answer.strip()[:1]")),
            (
                "came out",
                (
                    "return thinking.strip(), answer.strip()",
                    'return {"thinking": thinking.strip(), "answer": answer.strip()}',
                ),
            ),
            (
                "what is not exactly a tag",
                (
                    'body.partition("</think>")',
                    'body.replace("</think >", "</think>").partition("</think>")',
                ),
            ),
            (
                "what is not exactly a tag",
                ("text.lstrip()", 'text.lstrip().replace("<thinking>", "<think>")'),
            ),
            (
                "nor is a tag with blanks",
                ("text.lstrip()", 'text.lstrip().replace("< think>", "<think>")'),
            ),
        ],
        right=[
            _PARSE
            + """\
    import re
    opened = re.match(r'\\s*<think>', text)
    rest = text[opened.end():] if opened else text
    parts = rest.split('</think>', 1)
    if len(parts) == 2:
        return parts[0].strip(), parts[1].strip()
    return (rest.strip(), '') if opened or prefilled else ('', rest.strip())
""",
            _PARSE
            + """\
    text = text.strip()
    inside = prefilled
    if text[:7] == '<think>':
        text, inside = text[7:], True
    at = text.find('</think>')
    if at < 0:
        at = len(text) if inside else 0
        return [text[:at].strip(), text[at:].strip()]
    return [text[:at].strip(), text[at + 8:].strip()]
""",
            _PARSE
            + """\
    body = text.strip()
    if not body.startswith('<think>') and (prefilled or '</think>' in body):
        body = '<think>' + body
    if not body.startswith('<think>'):
        return '', body
    inner = body[len('<think>'):]
    i = inner.index('</think>') if '</think>' in inner else len(inner)
    return inner[:i].strip(), inner[i:].removeprefix('</think>').strip()
""",
        ],
    ),
    "traces.attempts": Bank(
        wrong=[
            (
                "without its verdict",
                (
                    "return attempts, rejected, repeats",
                    'return attempts + (signs != ""), rejected, repeats',
                ),
            ),
            ("rejected ones too", ("attempts += 1", 'attempts += word == "yes"')),
            ("Repeats are attempts too", ("attempts += 1", "attempts += signs not in seen")),
            (
                "Those are steps",
                (
                    ("attempts += 1", "pass"),
                    (
                        "signs += word[0]",
                        """\
signs += word[0]
            attempts += 1""",
                    ),
                ),
            ),
            ("Rejected means", ('rejected += word == "no"', 'rejected += word == "yes"')),
            ("totals and notation", ("signs += word[0]", "signs += word")),
            ("notation of its digits", ("signs += word[0]", 'signs += word.split("=")[0]')),
            ("not only of the last", ("seen.add(signs)", "seen = {signs}")),
            ("came out", ('            signs = ""\n', "")),
            ("came out", ("seen.add(signs)", "pass")),
            ("came out", ("repeats += signs in seen", "repeats += 1")),
            ("came out", ("signs += word[0]", 'signs += "+"')),
            ("IndexError", ("thinking.split()", 'thinking.split(" ")')),
        ],
        right=[
            _COUNT
            + """\
    import re
    plain = re.sub(r'([+-])\\S+', r'\\1', thinking)
    parts = re.findall(r'([^yn]*?(?:\\s|^))(yes|no)(?=\\s|$)', plain)
    signs = [''.join(p.split()) for p, _ in parts]
    return len(parts), sum(v == 'no' for _, v in parts), len(signs) - len(set(signs))
""",
            _COUNT
            + """\
    from collections import Counter
    tried, current, no = Counter(), [], 0
    for w in thinking.split():
        if w[0] in '+-':
            current.append(w[0] == '+')
        else:
            tried[tuple(current)] += 1
            no += w == 'no'
            current = []
    n = sum(tried.values())
    return [n, no, sum(c - 1 for c in tried.values())]
""",
            _COUNT
            + """\
    words = thinking.split()
    ends = [i for i, w in enumerate(words) if w in ('yes', 'no')]
    starts = [0] + [i + 1 for i in ends]
    tries = [''.join(w[0] for w in words[a:b]) for a, b in zip(starts, ends)]
    repeats = sum(t in tries[:i] for i, t in enumerate(tries))
    return len(ends), sum(words[i] == 'no' for i in ends), repeats
""",
        ],
    ),
}
