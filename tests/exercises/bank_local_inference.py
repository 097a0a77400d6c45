"""Submissions to lesson 06."""

from bank import Bank

_KV = "def my_kv_cache_bytes(config, tokens, bytes_per_value=2):\n"
_LONGEST = "def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):\n"
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
            _KV + "    total = 0\n    for _ in range(config['num_hidden_layers']):\n        if "
            "config.get('kv_lora_rank'):\n            total += config['kv_lora_rank']\n            "
            "total += config['qk_rope_head_dim']\n        else:\n            total += config["
            "'head_dim'] * config['num_key_value_heads'] * 2\n    return tokens * total * "
            "bytes_per_value\n",
            _KV + "    import numpy as np\n    n = [config['num_hidden_layers'], tokens, "
            "bytes_per_value]\n    try:\n        n.append(config['kv_lora_rank'] + config["
            "'qk_rope_head_dim'])\n    except KeyError:\n        n += [2, config["
            "'num_key_value_heads'], config['head_dim']]\n    return np.prod(n, dtype=np.int64)\n",
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
            _LONGEST + "    import math\n    free = memory_gib * 1024**3 - overhead_gib * 1024**3 "
            "- file_gb * 1e9\n    return math.floor(free / bytes_per_token) if free > 0 else 0\n",
            _LONGEST + "    import numpy as np\n    free = np.float64(memory_gib - overhead_gib) * "
            "2**30 - file_gb * 1e9\n    return int(np.clip(np.floor(free / bytes_per_token), 0, "
            "None))\n",
            _LONGEST
            + "    free = (memory_gib - overhead_gib) * 2**30 - file_gb * 1e9\n    if free "
            "< 0:\n        return 0\n    return int(divmod(free, bytes_per_token)[0])\n",
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
            ("divides by 0", ("if scale == 0:\n        return 0.0, [0] * len(values)", "pass")),
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
        ],
        right=[
            _QUANTISE + "    import numpy as np\n    v = np.array(values)\n    scale = np.abs(v)"
            ".max() / (2 ** (bits - 1) - 1)\n    if not scale:\n        return 0.0, np.zeros("
            "len(v), int)\n    return scale, np.rint(v / scale).astype(np.int8)\n",
            _QUANTISE + "    import math\n    top = (1 << (bits - 1)) - 1\n    big = max(max("
            "values), -min(values))\n    if big == 0:\n        return 0, [0 for _ in values]\n"
            "    out = []\n    for v in values:\n        q = math.floor(abs(v) * top / big + 0.5)\n"
            "        out.append(q if v >= 0 else -q)\n    return big / top, out\n",
            _QUANTISE
            + "    import torch\n    v = torch.tensor(values, dtype=torch.float64)\n    s "
            "= (v.abs().max() / (2 ** (bits - 1) - 1)).item()\n    for i in range(len(values)):\n"
            "        values[i] = round(values[i] / s) if s else 0\n    return s, values\n",
        ],
    ),
    "traces.parse": Bank(
        wrong=[
            (
                "put it into the prompt",
                _PARSE + "    body = text.strip()\n    if not "
                "body.startswith('<think>'):\n        return '', body\n    body = body[7:]\n    if "
                "'</think>' not in body:\n        return body.strip(), ''\n    t, a = body.split("
                "'</think>', 1)\n    return t.strip(), a.strip()\n",
            ),
            (
                "without an opening one",
                _PARSE + "    body = text.strip()\n    opened = body"
                ".startswith('<think>')\n    if not opened and not prefilled:\n        return '', body"
                "\n    t, _, a = body.removeprefix('<think>').partition('</think>')\n    return "
                "t.strip(), a.strip()\n",
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
        ],
        right=[
            _PARSE + "    import re\n    opened = re.match(r'\\s*<think>', text)\n    rest = text["
            "opened.end():] if opened else text\n    parts = rest.split('</think>', 1)\n    if "
            "len(parts) == 2:\n        return parts[0].strip(), parts[1].strip()\n    return "
            "(rest.strip(), '') if opened or prefilled else ('', rest.strip())\n",
            _PARSE + "    text = text.strip()\n    inside = prefilled\n    if text[:7] == "
            "'<think>':\n        text, inside = text[7:], True\n    at = text.find('</think>')\n"
            "    if at < 0:\n        at = len(text) if inside else 0\n        return [text[:at]"
            ".strip(), text[at:].strip()]\n    return [text[:at].strip(), text[at + 8:].strip()]\n",
            _PARSE
            + "    body = text.strip()\n    if not body.startswith('<think>') and (prefilled "
            "or '</think>' in body):\n        body = '<think>' + body\n    if not body.startswith("
            "'<think>'):\n        return '', body\n    inner = body[len('<think>'):]\n    i = "
            "inner.index('</think>') if '</think>' in inner else len(inner)\n    return inner[:i]"
            ".strip(), inner[i:].removeprefix('</think>').strip()\n",
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
                    ("signs += word[0]", "signs += word[0]\n            attempts += 1"),
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
            _COUNT + "    import re\n    parts = re.findall(r'([^yn]*?(?:\\s|^))(yes|no)(?=\\s|$)',"
            " re.sub(r'([+-])\\S+', r'\\1', thinking))\n    signs = [''.join(p.split()) for p, _ in "
            "parts]\n    return len(parts), sum(v == 'no' for _, v in parts), len(signs) - "
            "len(set(signs))\n",
            _COUNT
            + "    from collections import Counter\n    tried, current, no = Counter(), [], 0"
            "\n    for w in thinking.split():\n        if w[0] in '+-':\n            "
            "current.append(w[0] == '+')\n        else:\n            tried[tuple(current)] += 1\n"
            "            no += w == 'no'\n            current = []\n    n = sum(tried.values())\n"
            "    return [n, no, sum(c - 1 for c in tried.values())]\n",
            _COUNT
            + "    words = thinking.split()\n    ends = [i for i, w in enumerate(words) if w "
            "in ('yes', 'no')]\n    starts = [0] + [i + 1 for i in ends]\n    tries = [''.join(w[0] "
            "for w in words[a:b]) for a, b in zip(starts, ends)]\n    repeats = sum(t in tries[:i] "
            "for i, t in enumerate(tries))\n    return len(ends), sum(words[i] == 'no' for i in "
            "ends), repeats\n",
        ],
    ),
}
