"""Wrong answers that earlier checks accepted, found by an independent bank: one of each kind."""

ESCAPES: list[tuple[str, str, str]] = [
    (
        "costs.per_answer",
        "price of a free cache falls back to price_in",
        """\
def cost_per_answer(question, thinking, answer, cached=0, *, price_in, price_cached, price_out):
    price_cached = price_cached or price_in
    return ((question-cached)*price_in + cached*price_cached + (thinking+answer)*price_out)/1e6
""",
    ),
    (
        "costs.standard_error",
        "score up to 1 is taken for a share",
        """\
import math
def standard_error(score, problems):
    p = score/100 if score > 1 else score
    return 100*math.sqrt(p*(1-p)/problems)
""",
    ),
    (
        "costs.gap_in_problems",
        "scores up to 1 are shares",
        """\
import math
def gap_in_problems(score_a, score_b, problems):
    f = lambda s: s if s <= 1 else s/100
    return (f(score_a)-f(score_b))*problems
""",
    ),
    (
        "moe.route",
        "masked in place where the biased score is 0",
        """\
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    n = logits.shape[0]
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(n, n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = worth.topk(topk_group, dim=-1).indices
    keep = torch.zeros(n, n_group, dtype=torch.bool).scatter_(1, kept, True)
    allowed = keep.unsqueeze(-1).expand(n, n_group, logits.shape[1] // n_group).reshape(n, -1)
    masked = (biased * allowed).masked_fill(biased * allowed == 0, float('-inf'))
    experts = masked.topk(top_k, dim=-1).indices
    weights = scores.gather(1, experts)
    return scale * weights / (weights.sum(dim=-1, keepdim=True) + 1e-20), experts
""",
    ),
    (
        "moe.balance_bias",
        "shares against their mean",
        """\
def my_balance_bias(bias, load, step):
    load = load.float()
    share = load / load.sum().clamp(min=1)
    return bias - step*torch.sign(share - share.mean())
""",
    ),
    (
        "moe.count_parameters",
        "no shared expert counts as one",
        """\
def count_moe_layer(config):
    h, m = config['hidden_size'], config['moe_intermediate_size']
    R, S, K = config['n_routed_experts'], config['n_shared_experts'], config['num_experts_per_tok']
    e = 3*h*m
    S = S or 1
    r = R*(h+1)
    return (R+S)*e + r, (K+S)*e + r
""",
    ),
    (
        "moe.find_the_bug",
        "shifted by the smallest",
        """\
def mended_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(len(logits), n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth).scatter_(1, worth.topk(topk_group, dim=-1).indices, 1.0)
    allowed = kept.unsqueeze(-1).expand_as(groups).reshape(biased.shape)
    masked = (biased - biased.min()) * allowed
    experts = masked.topk(top_k, dim=-1).indices
    weights = scores.gather(1, experts)
    return scale * weights / (weights.sum(dim=-1, keepdim=True) + 1e-20), experts
""",
    ),
    (
        "moe.find_the_bug",
        "zeros become -inf",
        """\
def mended_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(len(logits), n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth).scatter_(1, worth.topk(topk_group, dim=-1).indices, 1.0)
    allowed = kept.unsqueeze(-1).expand_as(groups).reshape(biased.shape)
    masked = (biased * allowed).masked_fill(biased * allowed == 0, -torch.inf)
    experts = masked.topk(top_k, dim=-1).indices
    weights = scores.gather(1, experts)
    return scale * weights / (weights.sum(dim=-1, keepdim=True) + 1e-20), experts
""",
    ),
    (
        "moe.find_the_bug",
        "losers at the smallest biased score",
        """\
def mended_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(len(logits), n_group, -1)
    worth = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(worth).scatter_(1, worth.topk(topk_group, dim=-1).indices, 1.0)
    allowed = kept.unsqueeze(-1).expand_as(groups).reshape(biased.shape)
    masked = torch.where(allowed > 0, biased, biased.min())
    experts = masked.topk(top_k, dim=-1).indices
    weights = scores.gather(1, experts)
    return scale * weights / (weights.sum(dim=-1, keepdim=True) + 1e-20), experts
""",
    ),
    (
        "grpo.completion_mask",
        "falsy end",
        """\
def my_completion_mask(ids, eos):
    end = ids == eos
    if not eos:
        return torch.ones(ids.shape)
    c = end.cumsum(1)
    return (c - end.int() == 0).float()
""",
    ),
    (
        "grpo.policy_loss",
        "lengths from the left",
        """\
def my_policy_loss(logp, old_logp, advantages, mask, clip=0.2):
    ratio = (logp - old_logp).exp()
    weight = advantages.unsqueeze(1)
    clipped = ratio.clamp(1 - clip, 1 + clip)
    token = torch.minimum(ratio * weight, clipped * weight)
    per = torch.stack([token[i, :int(n)].sum() / max(n, 1) for i, n in enumerate(mask.sum(1))])
    return -per.mean()
""",
    ),
    (
        "grpo.kl",
        "difference clamped to 10",
        """\
def my_kl(logp, ref_logp):
    d = (ref_logp - logp).clamp(-10, 10)
    return d.exp() - d - 1
""",
    ),
    (
        "grpo.kl",
        "nan-safe that zeroes the rare",
        """\
def my_kl(logp, ref_logp):
    d = ref_logp - logp
    return torch.where(d > 5, 0.0, d.exp() - d - 1)
""",
    ),
    (
        "grpo.pass_at_k",
        "float overflow",
        """\
def pass_at_k(n, c, k):
    return 1 - float(math.comb(n-c, k))/float(math.comb(n, k))
""",
    ),
    (
        "grpo.find_the_bug",
        "lengths from the left",
        """\
def mended_loss(logp, old_logp, advantages, mask, clip=0.2):
    ratio = (logp - old_logp).exp()
    weight = advantages.unsqueeze(1)
    clipped = ratio.clamp(1 - clip, 1 + clip)
    token = torch.minimum(ratio * weight, clipped * weight)
    per = torch.stack([token[i, :int(n)].sum() / max(n, 1) for i, n in enumerate(mask.sum(1))])
    return -per.mean()
""",
    ),
    (
        "grpo.mend_the_verifier",
        "split()[1] forgets what follows a second </think>",
        """\
def mended_verifier(numbers, target, text):
    parts = text.split('</think>')
    signs = (parts[1] if len(parts) > 1 else text).split()
    if len(signs) != len(numbers) - 1 or any(s not in ('+', '-') for s in signs):
        return 0.0
    total = numbers[0] + sum(n if s == '+' else -n for s, n in zip(signs, numbers[1:]))
    return 1.0 if total == target else 0.0
""",
    ),
    (
        "grpo.mend_the_verifier",
        "signs without blanks",
        """\
def mended_verifier(numbers, target, text):
    head, found, tail = text.partition('</think>')
    answer = tail if found else head
    signs = [c for c in answer if not c.isspace()]
    if len(signs) != len(numbers) - 1 or any(s not in ('+', '-') for s in signs):
        return 0.0
    total = numbers[0] + sum(n if s == '+' else -n for s, n in zip(signs, numbers[1:]))
    return 1.0 if total == target else 0.0
""",
    ),
    (
        "grpo.mend_the_verifier",
        "sum only compared in size",
        """\
def mended_verifier(numbers, target, text):
    head, found, tail = text.partition('</think>')
    answer = tail if found else head
    signs = answer.split()
    if len(signs) != len(numbers) - 1 or any(s not in ('+', '-') for s in signs):
        return 0.0
    total = numbers[0] + sum(n if s == '+' else -n for s, n in zip(signs, numbers[1:]))
    return 1.0 if abs(total) == abs(target) else 0.0
""",
    ),
    (
        "grpo.mend_the_verifier",
        "three numbers only",
        """\
def mended_verifier(numbers, target, text):
    head, found, tail = text.partition('</think>')
    answer = tail if found else head
    signs = answer.split()
    if len(signs) != 2 or any(s not in ('+', '-') for s in signs):
        return 0.0
    a, b, c = numbers[:3]
    total = a + (b if signs[0] == '+' else -b) + (c if signs[1] == '+' else -c)
    return 1.0 if total == target else 0.0
""",
    ),
    (
        "grpo.mend_the_verifier",
        "trailing verdict allowed",
        """\
def mended_verifier(numbers, target, text):
    head, found, tail = text.partition('</think>')
    answer = tail if found else head
    signs = answer.replace('yes', '').replace('.', '').split()
    if len(signs) != len(numbers) - 1 or any(s not in ('+', '-') for s in signs):
        return 0.0
    total = numbers[0] + sum(n if s == '+' else -n for s, n in zip(signs, numbers[1:]))
    return 1.0 if total == target else 0.0
""",
    ),
    (
        "pipeline.language_consistency",
        "negative totals, but no words with a hyphen",
        """\
def language_consistency(thinking, language):
    steps = [w for w in thinking.split() if w[0] in '+-']
    if not steps:
        return 1.0
    f = str.isdigit if language == 'digits' else str.isalpha
    return sum(all(f(p.lstrip('-')) for p in s[1:].split('=')) for s in steps)/len(steps)
""",
    ),
    (
        "pipeline.keep",
        "duplicates in small letters",
        """\
def keep_samples(samples):
    kept, seen = [], set()
    count = dict(unclosed=0, wrong=0, mixed=0, duplicate=0)
    for s in samples:
        if not s['closed']:
            count['unclosed'] += 1
        elif not s['right']:
            count['wrong'] += 1
        elif s['consistency'] < 1:
            count['mixed'] += 1
        elif s['text'].lower() in seen:
            count['duplicate'] += 1
        else:
            kept.append(s['text'])
            seen.add(s['text'].lower())
    return kept, count
""",
    ),
    (
        "pipeline.keep",
        "neighbours only",
        """\
def keep_samples(samples):
    kept, seen = [], set()
    count = {'unclosed': 0, 'wrong': 0, 'mixed': 0, 'duplicate': 0}
    for s in samples:
        if not s['closed']:
            count['unclosed'] += 1
        elif not s['right']:
            count['wrong'] += 1
        elif s['consistency'] < 1:
            count['mixed'] += 1
        elif kept and kept[-1] == s['text']:
            count['duplicate'] += 1
        else:
            kept.append(s['text'])
            seen.add(s['text'])
    return kept, count
""",
    ),
    (
        "pipeline.keep",
        "empty text is dropped",
        """\
def keep_samples(samples):
    kept, seen = [], set()
    count = {'unclosed': 0, 'wrong': 0, 'mixed': 0, 'duplicate': 0}
    for s in samples:
        if not s['closed']:
            count['unclosed'] += 1
        elif not s['right']:
            count['wrong'] += 1
        elif s['consistency'] < 1:
            count['mixed'] += 1
        elif not s['text'] or s['text'] in kept:
            count['duplicate'] += 1
        else:
            kept.append(s['text'])
            seen.add(s['text'])
    return kept, count
""",
    ),
    (
        "pipeline.sft_labels",
        "masks by token id",
        """\
def sft_labels(prompt, completion, length):
    row = [-100 if x in prompt else x for x in prompt + completion]
    return (row + [-100]*length)[:length]
""",
    ),
    (
        "pipeline.sft_labels",
        "negative slice",
        """\
def sft_labels(prompt, completion, length):
    row = [-100]*len(prompt) + completion
    over = len(row) - length
    return row[:-over] if over >= 0 else row + [-100]*-over
""",
    ),
    (
        "pipeline.sft_labels",
        "an empty completion crashes",
        """\
def sft_labels(prompt, completion, length):
    row = [-100]*len(prompt) + completion[:-1] + [completion[-1]]
    return (row + [-100]*length)[:length]
""",
    ),
    (
        "distill.jsd",
        "epsilon 1e-8 in the logarithms",
        """\
def my_jsd(student_logits, teacher_logits, beta):
    s, t = (student_logits.softmax(-1) + 1e-8).log(), (teacher_logits.softmax(-1) + 1e-8).log()
    def kl(p, q):
        return (p.exp() * (p - q)).sum(-1)
    if beta == 0:
        d = kl(t, s)
    elif beta == 1:
        d = kl(s, t)
    else:
        m = torch.logaddexp(math.log(beta) + t, math.log(1 - beta) + s)
        d = beta * kl(t, m) + (1 - beta) * kl(s, m)
    return d.mean()
""",
    ),
    (
        "distill.majority_vote",
        "0 and '' count as None",
        """\
def pass_and_vote(answers, truths):
    ps = vs = 0
    for a, t in zip(answers, truths):
        ps += sum(x == t for x in a) / len(a)
        v = [x for x in a if x]
        w = Counter(v).most_common(1)[0][0] if v else None
        vs += bool(v and w == t)
    return ps / len(truths), vs / len(truths)
""",
    ),
    (
        "distill.majority_vote",
        "a tie: first to reach the top",
        """\
def pass_and_vote(answers, truths):
    ps = vs = 0
    for a, t in zip(answers, truths):
        ps += sum(x == t for x in a)/len(a)
        n, best, top = Counter(), None, 0
        for x in a:
            if x is None:
                continue
            n[x] += 1
            if n[x] > top:
                best, top = x, n[x]
        vs += top > 0 and best == t
    return ps/len(truths), vs/len(truths)
""",
    ),
    (
        "distill.count_dense",
        "float32",
        """\
def count_dense(config):
    L, h, a, n = (config[x] for x in ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads"))
    f, v = config["intermediate_size"], config["vocab_size"]
    hd = config['head_dim']
    q, kv = a * hd, n * hd
    layer = h*q + 2*h*kv + q*h + (q + 2*kv if config['qkv_bias'] else 0) + 3*h*f + 2*h
    total = L*layer + v*h + h + (0 if config['tie_word_embeddings'] else v*h)
    return int(torch.tensor(float(total)))
""",
    ),
    (
        "distill.find_the_bug",
        "flat shift across rows",
        """\
def mended_next_loss(logits, ids, mask):
    l, i, m = logits.flatten(0, 1)[:-1], ids.flatten()[1:], mask.flatten()[1:]
    logs = l.log_softmax(dim=-1)
    taken = logs.gather(-1, i.unsqueeze(-1)).squeeze(-1)
    return -(taken * m).sum() / m.sum()
""",
    ),
    (
        "memory.kv_cache_bytes",
        "whole bytes only",
        """\
def my_kv_cache_bytes(config, tokens, bytes_per_value=2):
    c = config
    if 'kv_lora_rank' in c:
        width = c['kv_lora_rank'] + c['qk_rope_head_dim']
    else:
        width = 2 * c['num_key_value_heads'] * c['head_dim']
    return c['num_hidden_layers'] * width * tokens * int(bytes_per_value)
""",
    ),
    (
        "memory.kv_cache_bytes",
        "a 32-bit number",
        """\
def my_kv_cache_bytes(config, tokens, bytes_per_value=2):
    c = config
    if 'kv_lora_rank' in c:
        width = c['kv_lora_rank'] + c['qk_rope_head_dim']
    else:
        width = 2 * c['num_key_value_heads'] * c['head_dim']
    return int(__import__('numpy').array(c['num_hidden_layers'] * width * tokens * bytes_per_value).astype('int32'))
""",
    ),
    (
        "memory.longest_context",
        "overhead forgotten where it asks whether it fits",
        """\
import math
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
    if file_gb*1e9 > memory_gib*2**30:
        return 0
    return int(((memory_gib - overhead_gib)*2**30 - file_gb*1e9) // bytes_per_token)
""",
    ),
    (
        "memory.longest_context",
        "the next below",
        """\
import math
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
    free = (memory_gib - overhead_gib)*2**30 - file_gb*1e9
    return max(0, math.ceil(free / bytes_per_token) - 1)
""",
    ),
    (
        "memory.quantise",
        "small blocks are zeros",
        """\
import math
def my_quantise(values, bits):
    top = max(abs(v) for v in values)
    levels = 2 ** (bits - 1) - 1
    if top < 1e-5:
        return 0.0, [0] * len(values)
    scale = top / levels
    whole = [round(v / scale) for v in values]
    return scale, whole
""",
    ),
    (
        "memory.quantise",
        "int8 overflow",
        """\
import math
def my_quantise(values, bits):
    top = max(abs(v) for v in values)
    levels = 2 ** (bits - 1) - 1
    if top == 0:
        return 0.0, [0] * len(values)
    scale = top / levels
    whole = [int(__import__('numpy').array(round(v / scale)).astype('int8')) for v in values]
    return scale, whole
""",
    ),
    (
        "traces.parse",
        "<think> anywhere opens",
        """\
import re
def my_parse_trace(text, prefilled=False):
    opened = '<think>' in text; t = text.strip().removeprefix('<think>')
    a, found, b = t.partition('</think>')
    if found:
        return a.strip(), b.strip()
    return (t.strip(), '') if opened or prefilled else ('', t.strip())
""",
    ),
    (
        "traces.parse",
        "strip('<think>') of both ends",
        """\
import re
def my_parse_trace(text, prefilled=False):
    t = text.lstrip(); opened = t.startswith('<think>')
    a, found, b = t.partition('</think>')
    if found:
        return a.strip('<think>').strip() if opened else a.strip(), b.strip()
    t = t.removeprefix('<think>')
    return (t.strip(), '') if opened or prefilled else ('', t.strip())
""",
    ),
    (
        "traces.parse",
        "two <think> removed",
        """\
import re
def my_parse_trace(text, prefilled=False):
    t = text.lstrip(); opened = t.startswith('<think>')
    while t.startswith('<think>'):
        t = t.removeprefix('<think>').lstrip()
    a, found, b = t.partition('</think>')
    if found:
        return a.strip(), b.strip()
    return (t.strip(), '') if opened or prefilled else ('', t.strip())
""",
    ),
    (
        "traces.parse",
        "find() as a truth",
        """\
import re
def my_parse_trace(text, prefilled=False):
    t = text.lstrip(); opened = t.startswith('<think>'); t = t.removeprefix('<think>')
    i = t.find('</think>')
    if i > 0:
        return t[:i].strip(), t[i+8:].strip()
    return (t.strip(), '') if opened or prefilled else ('', t.strip())
""",
    ),
    (
        "traces.attempts",
        "minus of a total counts as a sign",
        """\
def count_attempts(thinking):
    attempts = rejected = repeats = 0
    seen, steps = set(), []
    for word in thinking.split():
        if word in ('yes', 'no'):
            if steps:
                key = ''.join(c for s in steps for c in s if c in '+-')
                attempts += 1
                rejected += word == 'no'
                repeats += key in seen
                seen.add(key)
            steps = []
        else:
            steps.append(word)
    return attempts, rejected, repeats
""",
    ),
    (
        "traces.attempts",
        "repeats of rejected ones only",
        """\
def count_attempts(thinking):
    attempts = rejected = repeats = 0
    seen, steps = set(), []
    for word in thinking.split():
        if word in ('yes', 'no'):
            if steps:
                key = ''.join(s[0] for s in steps)
                attempts += 1
                rejected += word == 'no'
                repeats += key in seen
                (seen.add(key) if word == 'no' else None)
            steps = []
        else:
            steps.append(word)
    return attempts, rejected, repeats
""",
    ),
    (
        "data.leaves_machine",
        "name ends in localhost",
        """\
import ipaddress, re
def leaves_machine(host):
    if host.lower().endswith('localhost'):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
""",
    ),
    (
        "data.leaves_machine",
        "unspecified stays",
        """\
import ipaddress, re
def leaves_machine(host):
    if host.lower() == 'localhost':
        return False
    try:
        a = ipaddress.ip_address(host)
        return not (a.is_loopback or a.is_unspecified)
    except ValueError:
        return True
""",
    ),
    (
        "data.leaves_machine",
        "::1 as text",
        """\
import ipaddress, re
def leaves_machine(host):
    if host.lower() == 'localhost' or host == '::1':
        return False
    try:
        return not ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return True
""",
    ),
    (
        "data.leaves_machine",
        "names without a dot stay",
        """\
import ipaddress, re
def leaves_machine(host):
    if '.' not in host and ':' not in host:
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
""",
    ),
    (
        "tools.parse_call",
        "the same call twice counts once",
        """\
import re
def parse_call(text, allowed):
    found = list(dict.fromkeys(re.findall(r'<tool>(\\w+):(.*?)</tool>', text, re.DOTALL)))
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].strip()
    if name not in allowed or len(arg) > 100:
        return None
    return name, arg
""",
    ),
    (
        "tools.parse_call",
        "length with the blanks",
        """\
import re
def parse_call(text, allowed):
    found = re.findall(r'<tool>(\\w+):(.*?)</tool>', text, re.DOTALL)
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].strip()
    if name not in allowed or len(found[0][1]) > 100:
        return None
    return name, arg
""",
    ),
    (
        "tools.parse_call",
        "allowed name begins with it",
        """\
import re
def parse_call(text, allowed):
    found = re.findall(r'<tool>(\\w+):(.*?)</tool>', text, re.DOTALL)
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].strip()
    if not any(a.startswith(name) for a in allowed) or len(arg) > 100:
        return None
    return name, arg
""",
    ),
    (
        "tools.parse_call",
        "tags in any capitals",
        """\
import re
def parse_call(text, allowed):
    found = re.findall(r'<tool>(\\w+):(.*?)</tool>', text, re.DOTALL | re.IGNORECASE)
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].strip()
    if name not in allowed or len(arg) > 100:
        return None
    return name, arg
""",
    ),
    (
        "tools.parse_call",
        "argument up to the next colon",
        """\
import re
def parse_call(text, allowed):
    found = re.findall(r'<tool>(\\w+):(.*?)</tool>', text, re.DOTALL)
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].split(':')[0].strip()
    if name not in allowed or len(arg) > 100:
        return None
    return name, arg
""",
    ),
    (
        "tools.parse_call",
        "no signs of tags in the argument",
        """\
import re
def parse_call(text, allowed):
    found = re.findall(r'<tool>(\\w+):([^<]*)</tool>', text, re.DOTALL)
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].strip()
    if name not in allowed or len(arg) > 100:
        return None
    return name, arg
""",
    ),
    (
        "tools.parse_call",
        "rpartition at the colon",
        """\
import re
def parse_call(text, allowed):
    found = [m.rpartition(':')[::2] for m in re.findall(r'<tool>(.*?)</tool>', text, re.DOTALL)]
    if len(found) != 1:
        return None
    name, arg = found[0][0], found[0][1].strip()
    if name not in allowed or len(arg) > 100:
        return None
    return name, arg
""",
    ),
    (
        "retrieval.rank",
        "substrings",
        """\
import math
from collections import Counter
def rank_documents(query, documents):
    Q = sorted(set(query.lower().split()))
    D = [d.lower() for d in documents]
    N = len(D)
    def rarity(w):
        n = sum(w in e for e in D)
        return math.log(N / n) if n else 0.0
    def tf(d, w):
        return d.count(w)
    S = [math.fsum(tf(d, w) * rarity(w) for w in Q) for d in D]
    return [i for i in sorted(range(N), key=lambda i: -S[i]) if S[i] > 0]
""",
    ),
    (
        "retrieval.rank",
        "single spaces",
        """\
import math
from collections import Counter
def rank_documents(query, documents):
    Q = sorted(set(query.lower().split(' ')))
    D = [d.lower().split(' ') for d in documents]
    N = len(D)
    def rarity(w):
        n = sum(w in e for e in D)
        return math.log(N / n) if n else 0.0
    def tf(d, w):
        return d.count(w)
    S = [math.fsum(tf(d, w) * rarity(w) for w in Q) for d in D]
    return [i for i in sorted(range(N), key=lambda i: -S[i]) if S[i] > 0]
""",
    ),
    (
        "retrieval.rank",
        "punctuation stripped",
        """\
import math
from collections import Counter
def rank_documents(query, documents):
    Q = sorted(set(query.lower().split()))
    D = [[w.strip('.,;:!?') for w in d.lower().split()] for d in documents]
    N = len(D)
    def rarity(w):
        n = sum(w in e for e in D)
        return math.log(N / n) if n else 0.0
    def tf(d, w):
        return d.count(w)
    S = [math.fsum(tf(d, w) * rarity(w) for w in Q) for d in D]
    return [i for i in sorted(range(N), key=lambda i: -S[i]) if S[i] > 0]
""",
    ),
    (
        "audit.first_wrong_step",
        "set back after no only",
        """\
import re
def first_wrong_step(numbers, thinking):
    at, step = numbers[0], 0
    for word in thinking.split():
        if word in ('yes', 'no'):
            at = numbers[0] if word == 'no' else at
            pass
            continue
        op, total = word[1:].split('=')
        want = at + int(op) if word[0] == '+' else at - int(op)
        if int(total) != want:
            return step
        at = int(total)
        step += 1
    return None
""",
    ),
    (
        "audit.first_wrong_step",
        "stops at the first yes",
        """\
import re
def first_wrong_step(numbers, thinking):
    at, step = numbers[0], 0
    for word in thinking.split():
        if word in ('yes', 'no'):
            at = numbers[0]
            if word == 'yes': return None
            continue
        op, total = word[1:].split('=')
        want = at + int(op) if word[0] == '+' else at - int(op)
        if int(total) != want:
            return step
        at = int(total)
        step += 1
    return None
""",
    ),
    (
        "audit.first_wrong_step",
        "minus found anywhere",
        """\
import re
def first_wrong_step(numbers, thinking):
    at, step = numbers[0], 0
    for word in thinking.split():
        if word in ('yes', 'no'):
            at = numbers[0]
            pass
            continue
        op, total = word[1:].split('=')
        want = at - int(op) if '-' in word else at + int(op)
        if int(total) != want:
            return step
        at = int(total)
        step += 1
    return None
""",
    ),
    (
        "memory.quantise",
        "zero block scale not 0 (clamp)",
        """\
def my_quantise(values, bits):
    top = 2 ** (bits - 1) - 1
    scale = max(max(abs(v) for v in values), 1e-12) / top
    return scale, [round(v / scale) for v in values]
""",
    ),
    (
        "memory.quantise",
        "scale rounded to 6 decimals",
        """\
def my_quantise(values, bits):
    top = 2 ** (bits - 1) - 1
    scale = round(max(abs(v) for v in values) / top, 6)
    if max(map(abs,values))==0: return 0.0,[0]*len(values)
    s = max(abs(v) for v in values) / top
    return scale, [round(v / s) for v in values]
""",
    ),
    (
        "v3.block_scales",
        "small is zero",
        """\
import torch
def block_scales(x, size):
    m = x.reshape(x.shape[0]//size,size,x.shape[1]//size,size).abs().amax((1,3))
    s = m/448
    return torch.where(s < 1e-5, torch.ones_like(s), s)
""",
    ),
    (
        "real.keep_right",
        "int() of what follows",
        """\
def keep_right(answers, truths, most):
    out=[]
    for i,(ts,tr) in enumerate(zip(answers,truths)):
        got=[]
        for x in ts:
            if x.count("Answer:")!=1: continue
            try: n=int(x.split("Answer:")[1])
            except ValueError: continue
            if n==tr and x not in got and len(got)<most: got.append(x)
        out+=[(i,x) for x in got]
    return out
""",
    ),
    (
        "real.keep_right",
        "strip",
        """\
def keep_right(answers, truths, most):
    out=[]
    for i,(ts,tr) in enumerate(zip(answers,truths)):
        got=[]
        for x in ts:
            if x.count("Answer:")==1 and x.strip().endswith(f"Answer: {tr}") and x not in got and len(got)<most: got.append(x)
        out+=[(i,x) for x in got]
    return out
""",
    ),
    (
        "real.keep_right",
        "regex \\s* and $",
        r"""import re
def keep_right(answers, truths, most):
    out=[]
    for i,(ts,tr) in enumerate(zip(answers,truths)):
        got=[]
        for x in ts:
            if x.count("Answer:")==1 and re.search(rf"Answer:\s*{tr}$", x) and x not in got and len(got)<most: got.append(x)
        out+=[(i,x) for x in got]
    return out
""",
    ),
    (
        "real.keep_right",
        "counts 'Answer: ' with blank",
        """\
def keep_right(answers, truths, most):
    out=[]
    for i,(ts,tr) in enumerate(zip(answers,truths)):
        got=[]
        for x in ts:
            if x.count("Answer: ")==1 and x.endswith(f"Answer: {tr}") and x not in got and len(got)<most: got.append(x)
        out+=[(i,x) for x in got]
    return out
""",
    ),
    (
        "lab.tell",
        "tolerance",
        """\
def tell(right, broken):
    same=lambda n: all(abs(a-b)<1e-3 for a,b in zip(right[n],broken[n]))
    if all(same(n) for n in right): return "nothing"
    if all(x==0 for x in broken["grad_norm"]): return "never learns"
    return "only the log" if same("reward") and same("grad_norm") else "the training"
""",
    ),
    (
        "lab.tell",
        "int()",
        """\
def tell(right, broken):
    same=lambda n: all(int(a)==int(b) for a,b in zip(right[n],broken[n]))
    if all(same(n) for n in right): return "nothing"
    if all(int(x)==0 for x in broken["grad_norm"]): return "never learns"
    return "only the log" if same("reward") and same("grad_norm") else "the training"
""",
    ),
    (
        "lab.tell",
        "small gradient is none",
        """\
def tell(right, broken):
    if right==broken: return "nothing"
    if sum(broken["grad_norm"])<1e-1: return "never learns"
    return "only the log" if all(right[n]==broken[n] for n in ("reward","grad_norm")) else "the training"
""",
    ),
    (
        "lab.tell",
        "order: never learns before nothing (both zero grads)",
        """\
def tell(right, broken):
    if not any(broken["grad_norm"]): return "never learns"
    if right==broken: return "nothing"
    return "only the log" if all(right[n]==broken[n] for n in ("reward","grad_norm")) else "the training"
""",
    ),
    (
        "tools.parse_call",
        "\\s* before colon",
        r"""import re
def parse_call(text, allowed):
    c=re.findall(r"<tool>(\w+)\s*:(.*?)</tool>", text, re.S)
    if len(c)!=1: return None
    n,a=c[0]; a=a.strip()
    return (n,a) if n in allowed and len(a)<=100 else None
""",
    ),
    (
        "audit.first_wrong_step",
        "one digit",
        """\
def first_wrong_step(numbers, thinking):
    total=numbers[0]; i=0
    for w in thinking.split():
        if w in ("yes","no"): total=numbers[0]; continue
        if total+int(w[:2])!=int(w.split("=")[1]): return i
        total=int(w.split("=")[1]); i+=1
""",
    ),
    (
        "moe.balance_bias",
        "isclose 1e-3",
        """\
def my_balance_bias(bias, load, step):
    import torch
    return bias + step*torch.where(torch.isclose(load,load.mean(),rtol=1e-3), torch.tensor(0.0), torch.sign(load.mean()-load))
""",
    ),
    (
        "v3.round_e4m3",
        "below smallest is 0 (should round up above half)",
        """\
import math
def round_e4m3(x):
    if abs(x)<2**-9: return 0.0
    e=max(math.floor(math.log2(abs(x))),-6); s=2.0**(e-3)
    return round(x/s)*s
""",
    ),
    (
        "lab.tell",
        "isclose rel 1e-3",
        """\
def tell(right, broken):
    import math
    same=lambda n: all(math.isclose(a,b,rel_tol=1e-3) for a,b in zip(right[n],broken[n]))
    if all(same(n) for n in right): return "nothing"
    if all(x==0 for x in broken["grad_norm"]): return "never learns"
    return "only the log" if same("reward") and same("grad_norm") else "the training"
""",
    ),
    (
        "v3.round_e4m3",
        "flush below 2^-9",
        """\
def round_e4m3(x):
    import math
    if abs(x)<2**-9: return 0.0
    e=max(math.frexp(abs(x))[1]-1,-6); return round(x/2**(e-3))*2.0**(e-3)
""",
    ),
    (
        "traces.parse",
        "strips every line",
        r"""def my_parse_trace(text, prefilled=False):
    b=text.lstrip(); o=b.startswith("<think>"); b=b.removeprefix("<think>")
    a,c,z=b.partition("</think>")
    n=lambda x: "\n".join(y.strip() for y in x.strip().split("\n"))
    if c: return n(a), n(z)
    return (n(b),"") if o or prefilled else ("",n(b))
""",
    ),
    (
        "traces.parse",
        "tabs stay",
        r"""def my_parse_trace(text, prefilled=False):
    b=text.lstrip(); o=b.startswith("<think>"); b=b.removeprefix("<think>")
    a,c,z=b.partition("</think>")
    if c: return a.strip(" \n"), z.strip(" \n")
    return (b.strip(" \n"),"") if o or prefilled else ("",b.strip(" \n"))
""",
    ),
    (
        "audit.first_wrong_step",
        "w[1], w[3:]",
        """\
def first_wrong_step(numbers, thinking):
    i=0
    for att in thinking.replace("no","yes").split("yes"):
        total=numbers[0]
        for w in att.split():
            d=int(w[1]); d=-d if w[0]=="-" else d
            x=int(w[3:])
            if total+d!=x: return i
            total=x; i+=1
""",
    ),
    (
        "distill.jsd",
        "betas near the ends are the ends",
        """\
import torch
def my_jsd(student_logits, teacher_logits, beta):
    s, q = student_logits.log_softmax(-1), teacher_logits.log_softmax(-1)
    kl = lambda a, b: (a.exp() * (a - b)).sum(-1).mean()
    if beta < 0.05: return kl(q, s)
    if beta > 0.95: return kl(s, q)
    m = torch.logaddexp(q + torch.tensor(beta).log(), s + torch.tensor(1 - beta).log())
    return beta * kl(q, m) + (1 - beta) * kl(s, m)
""",
    ),
    (
        "tools.parse_call",
        "opening tags counted",
        r"""import re
def parse_call(text, allowed):
    if text.count("<tool>") != 1: return None
    c=re.findall(r"<tool>(\w+):(.*?)</tool>", text, re.S)
    if len(c)!=1: return None
    n,a=c[0]; a=a.strip()
    return (n,a) if n in allowed and len(a)<=100 else None
""",
    ),
    (
        "tools.parse_call",
        "closing tags counted",
        r"""import re
def parse_call(text, allowed):
    if text.count("</tool>") != 1: return None
    c=re.findall(r"<tool>(\w+):(.*?)</tool>", text, re.S)
    if len(c)!=1: return None
    n,a=c[0]; a=a.strip()
    return (n,a) if n in allowed and len(a)<=100 else None
""",
    ),
    (
        "tools.parse_call",
        "anything up to a colon is a name",
        r"""import re
def parse_call(text, allowed):
    c=re.findall(r"<tool>(.*?):(.*?)</tool>", text, re.S)
    if len(c)!=1: return None
    n,a=c[0]; a=a.strip()
    return (n,a) if n in allowed and len(a)<=100 else None
""",
    ),
    (
        "tools.parse_call",
        "all but a colon is a name",
        r"""import re
def parse_call(text, allowed):
    c=re.findall(r"<tool>([^:]*):(.*?)</tool>", text, re.S)
    if len(c)!=1: return None
    n,a=c[0]; a=a.strip()
    return (n,a) if n in allowed and len(a)<=100 else None
""",
    ),
    (
        "moe.route",
        "the bias counts twice for the groups",
        """\
def my_route(logits, bias, top_k, n_group=1, topk_group=1, scale=1.0):
    scores = logits.sigmoid()
    biased = scores + bias
    groups = biased.view(len(logits), n_group, -1)
    worth = (biased + bias).view(groups.shape).topk(2).values.sum(-1)
    kept = torch.zeros_like(worth).scatter(1, worth.topk(topk_group).indices, 1.0)
    left = groups.masked_fill(kept[..., None] == 0, -math.inf).flatten(1)
    experts = left.topk(top_k).indices
    chosen = scores.gather(1, experts)
    return scale * chosen / (chosen.sum(1, keepdim=True) + 1e-20), experts
""",
    ),
    (
        "v3.block_scales",
        "a small block is taken for one of zeros",
        """\
def block_scales(x, size):
    blocks = x.reshape(len(x) // size, size, -1, size)
    scales = blocks.abs().amax((1, 3)) / 448
    return torch.where(scales > 1e-6, scales, 1.0)
""",
    ),
    (
        "memory.quantise",
        "a tiny scale is taken for 0",
        """\
def my_quantise(values, bits):
    scale = max(map(abs, values)) / (2 ** (bits - 1) - 1)
    if scale < 1e-12:
        return 0.0, [0] * len(values)
    return scale, [round(value / scale) for value in values]
""",
    ),
    *(
        (
            "lab.tell",
            f"logs are compared by their {kind}",
            f"""\
def tell(right, broken):
    if right == broken:
        return "nothing"
    if not any(broken["grad_norm"]):
        return "never learns"
    same = all({kind}(right[name]) == {kind}(broken[name]) for name in ("reward", "grad_norm"))
    return "only the log" if same else "the training"
""",
        )
        for kind in ("set", "sum", "sorted")
    ),
    *(
        (
            "lab.tell",
            f"gradients are compared by their {kind}",
            f"""\
def tell(right, broken):
    if right == broken:
        return "nothing"
    if not any(broken["grad_norm"]):
        return "never learns"
    kind = {kind}
    same = right["reward"] == broken["reward"]
    same = same and kind(right["grad_norm"]) == kind(broken["grad_norm"])
    return "only the log" if same else "the training"
""",
        )
        for kind in ("max", "sum", "sorted", "set", "lambda x: (x[0], x[-1])")
    ),
    (
        "tools.parse_call",
        "names in small letters only",
        r"""import re
def parse_call(text, allowed):
    c=re.findall(r"<tool>([a-z0-9_]+):(.*?)</tool>", text, re.S)
    if len(c)!=1: return None
    n,a=c[0]; a=a.strip()
    return (n,a) if n in allowed and len(a)<=100 else None
""",
    ),
    (
        "lab.tell",
        "never learns only where the right one does",
        """\
def tell(right, broken):
    if right == broken:
        return "nothing"
    if not any(broken["grad_norm"]) and any(right["grad_norm"]):
        return "never learns"
    same = all(list(right[name]) == list(broken[name]) for name in ("reward", "grad_norm"))
    return "only the log" if same else "the training"
""",
    ),
    (
        "lab.tell",
        "the same gradients come first",
        """\
def tell(right, broken):
    if right == broken:
        return "nothing"
    if all(right[name] == broken[name] for name in ("reward", "grad_norm")):
        return "only the log"
    return "the training" if any(broken["grad_norm"]) else "never learns"
""",
    ),
    (
        "lab.tell",
        "the first gradient decides",
        """\
def tell(right, broken):
    if right == broken:
        return "nothing"
    if broken["grad_norm"][0] == 0:
        return "never learns"
    same = all(list(right[name]) == list(broken[name]) for name in ("reward", "grad_norm"))
    return "only the log" if same else "the training"
""",
    ),
    (
        "real.cross",
        "blanks between pieces are cleaned away",
        """\
def carry_over(ids, teacher, student, eos):
    text, found = "".join(teacher[i] for i in ids), []
    while text:
        fits = [i for i, piece in enumerate(student) if text.startswith(piece)]
        if not fits:
            return None
        best = max(fits, key=lambda i: len(student[i]))
        found.append(best)
        text = text.removeprefix(student[best]).lstrip()
    return [*found, eos]
""",
    ),
    (
        "real.keep_right",
        "the word counts without its colon",
        """\
def keep_right(answers, truths, most):
    kept = []
    for number, (texts, truth) in enumerate(zip(answers, truths)):
        own = []
        for text in texts:
            right = text.endswith(f"Answer: {truth}") and text.count("Answer") == 1
            if right and text not in own and len(own) < most:
                own.append(text)
        kept += [(number, text) for text in own]
    return kept
""",
    ),
    (
        "real.keep_right",
        "`Answer:` in small letters counts",
        """\
def keep_right(answers, truths, most):
    kept = []
    for number, (texts, truth) in enumerate(zip(answers, truths)):
        own = []
        for text in texts:
            right = text.endswith(f"Answer: {truth}") and text.lower().count("answer:") == 1
            if right and text not in own and len(own) < most:
                own.append(text)
        kept += [(number, text) for text in own]
    return kept
""",
    ),
    (
        "real.keep_right",
        "copies of the one before only",
        """\
def keep_right(answers, truths, most):
    kept = []
    for number, (texts, truth) in enumerate(zip(answers, truths)):
        own = []
        for text in texts:
            right = text.endswith(f"Answer: {truth}") and text.count("Answer:") == 1
            if right and own[-1:] != [text] and len(own) < most:
                own.append(text)
        kept += [(number, text) for text in own]
    return kept
""",
    ),
    (
        "retrieval.rank",
        "the smoothed rarity of search engines",
        """\
def rank_documents(query, documents):
    found = [document.lower().split() for document in documents]
    scores = [0.0] * len(found)
    for word in set(query.lower().split()):
        having = sum(word in one for one in found)
        for i, one in enumerate(found):
            scores[i] += one.count(word) * math.log((1 + len(found)) / (1 + having))
    return sorted([i for i, score in enumerate(scores) if score > 0], key=lambda i: -scores[i])
""",
    ),
]
