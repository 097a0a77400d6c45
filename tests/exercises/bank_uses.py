"""Submissions to the exercises in which a learner uses what other exercises asked for."""

from bank import Bank

_TRAIN = ("logits = (logits - lr * gradient)", "logits = (logits + lr * gradient)")

BANKS = {
    "moe.balance_a_router": Bank(
        wrong=[
            ("never moved", ("bias = my_balance", "_ = my_balance")),
            ("go on from the one before", (("for _", "first = bias\n    for _"), ("my_balance_bias(bias", "my_balance_bias(first"))),
            ("counts for nothing", ("my_route(logits, bias,", "my_route(logits, 0 * bias,")),
            ("three tokens crowd", ("load, step)", "load, -step)")),
            ("three tokens crowd", ("my_route(logits, bias, top_k)", "my_route(logits, bias, 1)")),
            ("3 items came out", ("return bias, load", "return bias - load, load, step")),
            ("came out", ("return bias, load", "return load, bias")),
            ("came out", ("return bias, load", "return bias")),
            ("all rounds", (("for _", "total = 0\n    for _"), ("bias = my", "total = total + load\n        bias = my"), ("return bias, load", "return bias, total"))),
            ("RuntimeError", ("minlength=len(bias)", "minlength=0")),
        ],
        right=[
            (("experts.flatten().bincount(minlength=len(bias)).float()", "torch.stack([(experts == e).sum() for e in range(len(bias))]).float()"),),
            (("for _ in range(rounds)", "for _ in [None] * rounds"),),
            (("return bias, load", "return [bias, load]"),),
        ],
    ),
    "moe.route_a_layer": Bank(
        wrong=[
            ("bias is missing", ('gate["bias"], top_k', '0 * gate["bias"], top_k')),
            ("added to the logits", (('hidden @ gate["weight"].T', 'hidden @ gate["weight"].T + gate["bias"]'), ('gate["bias"], top_k', '0 * gate["bias"], top_k'))),
            ("groups of the config", ("top_k, groups, kept, scale", "top_k, 1, 1, scale")),
            ("routed_scaling_factor", ("kept, scale)", "kept, 1.0)")),
            ("too few", ("(logits, gate[\"bias\"], top_k", "(logits, gate[\"bias\"], max(top_k - 1, 1)")),
            ("came out", ("return my_route", "return logits, my_route")),
            ("error in your code", ('gate["weight"].T', 'gate["weight"]')),
            ("the logits are 1", ('hidden @ gate["weight"].T', '-hidden @ gate["weight"].T')),
            ("error in your code", ('config["n_group"], config["topk_group"]', 'config["topk_group"], config["n_group"]')),
        ],
        right=[
            (('hidden @ gate["weight"].T', 'torch.nn.functional.linear(hidden, gate["weight"])'),),
            (('hidden @ gate["weight"].T', '(gate["weight"] @ hidden.T).T'),),
            (("top_k, groups, kept, scale)", "top_k, n_group=groups, topk_group=kept, scale=scale)"),),
        ],
    ),
    "grpo.train_a_policy": Bank(
        wrong=[
            ("wrong way", _TRAIN),
            ("rewards themselves", ("my_group_advantages(rewards[group][None])[0]", "rewards[group]")),
            ("first group", ("for group in sampled:", "for group in sampled[:1].repeat(len(sampled), 1):")),
            ("go on from the one before", (("for group", "first = logits.detach()\n    for group"), ("(logits - lr", "(first - lr"))),
            ("give the probabilities", ("logits.softmax(dim=-1).detach()", "logits.detach()")),
            ("sums over the group", ("torch.autograd.grad(loss,", "torch.autograd.grad(len(group) * loss,")),
            ("answer 0 of two", ("- lr * gradient", "- 0.5 * lr * gradient")),
            ("answer 0 of two", ("rewards[group][None])", "-rewards[group][None])")),
            ("two steps", ("    return logits", "        break\n    return logits")),
        ],
        right=[
            (("(logits - lr * gradient)", "torch.sub(logits, lr * gradient)"),),
            (("log_softmax(dim=-1)[group][:, None]", "log_softmax(dim=-1).gather(0, group).unsqueeze(1)"),),
            (("torch.ones_like(logp)", "torch.ones(len(group), 1)"),),
        ],
    ),
    "grpo.grade_groups": Bank(
        wrong=[
            ("all right teaches nothing", ("len(set(group)) == 1", "not any(group)")),
            ("teach something", ("len(set(group)) == 1", "len(set(group)) > 1")),
            ("not the mean of the groups", ("sum(flat) / len(flat)", "sum(sum(g) / len(g) for g in rewards) / len(rewards)")),
            ("give their share", ("sum(flat) / len(flat)", "sum(flat)")),
            ("one right, one wrong", ("sum(flat) / len(flat)", "1 - sum(flat) / len(flat)")),
            ("came out", ("return rewards, ", "return flat, ")),
            ("came out", ("len(flat), dead", "len(flat), dead + 1")),
            ("came out", ("for text in group]", "for text in group[:2]]")),
            ("came out", ("return rewards, sum", "return sum")),
        ],
        right=[
            (("len(set(group)) == 1", "max(group) == min(group)"),),
            (("sum(flat) / len(flat)", "float(torch.tensor(flat).mean())"),),
            (("rewards.append([", "rewards += [["), ("for text in group])", "for text in group]]")),
        ],
    ),
    "pipeline.build_rows": Bank(
        wrong=[
            ("must go", ("kept, _ = keep_samples(samples)", "kept = [s['text'] for s in samples]")),
            ("not of masked", ("label != -100", "label == -100")),
            ("their padding too", ("(len(rows) * length)", "max(1, sum(len(t.encode()) for t in kept))")),
            ("the share is 0.0", ("else 0.0", "else 1.0")),
            ("ZeroDivisionError", (" if rows else 0.0", "")),
            ("more than one byte", ("list(text.encode())", "[ord(c) for c in text]")),
            ("one is kept", ("sft_labels(prompt, ", "sft_labels([], ")),
            ("one is kept", ("text in kept", "text in kept[::-1][:0]")),
            ("came out", ("return rows, trained", "return trained, trained")),
            ('a byte may be 0', ('label != -100', 'label > 0')),
        ],
        right=[
            (("list(text.encode())", "[*bytes(text, 'utf-8')]"),),
            (("label != -100 for", "label >= 0 for"),),
            (("kept, _ = keep_samples(samples)", "kept = keep_samples(samples)[0]"),),
        ],
    ),
    "pipeline.fit_reward_model": Bank(
        wrong=[
            ("wrong way", ("(weight - lr", "(weight + lr")),
            ("are exchanged", ("better @ weight, worse @ weight", "worse @ weight, better @ weight")),
            ("Only one step", ("range(steps)", "range(min(steps, 1))")),
            ("two steps", ("(weight - lr * gradient)", "(0 * weight - lr * gradient)")),
            ("summed over the pairs", ("(gradient,) = torch.autograd.grad(loss,", "(gradient,) = torch.autograd.grad(len(better) * loss,")),
            ("Start from zeros", ("torch.zeros(", "torch.ones(")),
            ("slope at 0", ("lr * gradient", "2 * lr * gradient")),
            ("slope at 0", ("range(steps)", "range(steps - 1)")),
            ("came out", ("return weight", "return -weight")),
        ],
        right=[
            (("better @ weight, worse @ weight", "(better * weight).sum(1), (worse * weight).sum(1)"),),
            (("torch.zeros(better.shape[1], requires_grad=True)", "torch.zeros_like(better[0]).requires_grad_()"),),
            (("better @ weight, worse @ weight", "(better - worse) @ weight, 0 * (worse @ weight)"),),
        ],
    ),
    "distill.teach": Bank(
        wrong=[
            ("moves away", _TRAIN),
            ("Only one step", ("range(steps)", "range(min(steps, 1))")),
            ("came out", ("(logits - lr", "(student_logits - lr")),
            ("give the probabilities", (".softmax(dim=-1).detach()", ".detach()")),
            ("moves the logits", ("my_jsd(logits, teacher_logits, beta)", "my_jsd(logits, teacher_logits, 1 - beta)")),
            ("moves the logits", ("lr * gradient", "2 * lr * gradient")),
            ("own probabilities", ("logits.softmax(dim=-1)", "logits.softmax(dim=0)")),
            ("moves the logits", ("range(steps)", "range(steps - 1)")),
            ("own probabilities", ("range(steps)", "range(steps + 1)")),
        ],
        right=[
            (("logits.softmax(dim=-1).detach()", "logits.detach().log_softmax(-1).exp()"),),
            (("(logits - lr * gradient)", "(logits + gradient * -lr)"),),
            (("student_logits.clone()", "student_logits.detach().clone()"),),
        ],
    ),
    "memory.choose_file": Bank(
        wrong=[
            ("smallest file", ("return max(", "return min(")),
            ("cache is forgotten", (">= tokens", ">= 0 and size * 1e9 <= (memory_gib - overhead_gib) * 2**30")),
            ("are enough", (">= tokens", "> tokens")),
            ("overhead is forgotten", ("overhead_gib, per_token)", "0, per_token)")),
            ("the answer is None", ("max(fits,", "max(fits or files,")),
            ("ValueError", (", default=None", "")),
            ("came out", ("return max(fits, key=files.get, default=None)", "return fits[0] if fits else None")),
            ("came out", ("key=files.get, ", "")),
            ("8 GiB", ("size, overhead_gib", "size * 2, overhead_gib")),
            ('the last of four', ('files.items()', 'list(files.items())[:3]')),
            ('last digit', ('key=files.get', 'key=lambda name: int(files[name])')),
        ],
        right=[
            (("key=files.get", "key=lambda n: files[n]"),),
            (("max(fits, key=files.get, default=None)", "sorted(fits, key=files.get)[-1] if fits else None"),),
            (("my_kv_cache_bytes(config, 1)", "my_kv_cache_bytes(config, 10) / 10"),),
            """\
def choose_file(config, files, memory_gib, overhead_gib, tokens):
    best, largest = None, 0
    for name, size in files.items():
        room = (memory_gib - overhead_gib) * 2**30 / 1e9 - size
        if size > largest and room >= my_kv_cache_bytes(config, tokens) / 1e9:
            best, largest = name, size
    return best
""",
        ],
    ),
    "tools.answer_calls": Bank(
        wrong=[
            ("gets an empty text", ("documents[found[0]] if found else", 'documents[found[0]] if found or name == "search" else')),
            ("not its number", ("documents[found[0]]", "found[0]")),
            ("gets None, not", ("results.append(None)", 'results.append("")')),
            ("is the worst", ("found[0]", "found[-1]")),
            ("left out", ("            results.append(None)\n", "")),
            ("nothing is found", (' if name == "search" else []', " or [0]")),
            ("came out", ('if found else ""', "if found else None")),
            ("came out", ("return results", "return results[:1]")),
            ("came out", ("parse_call(reply, allowed)", 'parse_call(reply, ["search"])')),
            ('comes back as it is', ('documents[found[0]] if', 'documents[found[0]].strip() if')),
            ('comes back as it is', ('documents[found[0]] if', '" ".join(documents[found[0]].split()) if')),
            ('best twice', ('documents[found[0]] if', 'documents.pop(found[0]) if')),
            ('a search for nothing', ('if name == "search" else []', 'if name == "search" and argument else [0][: name == "search"]')),
        ],
        right=[
            (("if call is None:", "if not call:"),),
            (("documents[found[0]]", "[documents[i] for i in found][0]"),),
            (("name, argument = call", "name = call[0]\n        argument = call[1]"),),
        ],
    ),
}  # fmt: skip
