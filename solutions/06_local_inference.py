# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises: local inference
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/06_local_inference.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: memory.by_hand -->
#
# R1-Distill-Qwen-7B has 28 layers, 28 attention heads of 128 numbers, and 4 heads for keys and
# values, kept in 2 bytes a number. How many bytes does one more token of context take?

# %%
### BEGIN SOLUTION
bytes_per_token = 28 * 2 * 4 * 128 * 2
### END SOLUTION

# %%
check("memory.by_hand", bytes_per_token)

# %% [markdown]
# <!-- card: memory.kv_cache_bytes -->


# %%
def my_kv_cache_bytes(config, tokens, bytes_per_value=2):
    """Bytes of the key-value cache for `tokens` tokens.

    config: a dictionary with num_hidden_layers, num_attention_heads and either num_key_value_heads
    and head_dim (grouped-query attention: a key and a value for each of those heads), or
    kv_lora_rank and qk_rope_head_dim (DeepSeek's latent attention: one latent of kv_lora_rank and
    one rotary key of qk_rope_head_dim, for all heads together). bytes_per_value: of one number.
    """
    ### BEGIN SOLUTION
    if "kv_lora_rank" in config:
        width = config["kv_lora_rank"] + config["qk_rope_head_dim"]
    else:
        width = 2 * config["num_key_value_heads"] * config["head_dim"]
    return config["num_hidden_layers"] * width * bytes_per_value * tokens
    ### END SOLUTION


# %%
check("memory.kv_cache_bytes", my_kv_cache_bytes)

# %% [markdown]
# <!-- card: memory.longest_context -->


# %%
def longest_context(memory_gib, file_gb, overhead_gib, bytes_per_token):
    """How many tokens of context fit beside the weights; 0 where not even the weights fit.

    memory_gib, overhead_gib: in GiB, 2**30 bytes. file_gb: the model's file in GB, 10**9 bytes.
    bytes_per_token: of the key-value cache. Returns a whole number.
    """
    ### BEGIN SOLUTION
    left = (memory_gib - overhead_gib) * 2**30 - file_gb * 10**9
    return max(0, int(left // bytes_per_token))
    ### END SOLUTION


# %%
check("memory.longest_context", longest_context)

# %% [markdown]
# <!-- card: memory.quantise -->


# %%
def my_quantise(values, bits):
    """Quantise a block of numbers to signed whole numbers of `bits` bits, with one scale.

    values: a list of numbers. The largest size among them becomes 2 ** (bits - 1) - 1; every value
    over the scale is rounded to the nearest whole number. (This is a plainer rule than lesson 6's:
    there the furthest value becomes the lowest code, here the range is the same on both sides.)
    Returns (scale, list of whole numbers); a block of zeros has scale 0.0.
    """
    ### BEGIN SOLUTION
    scale = max(abs(value) for value in values) / (2 ** (bits - 1) - 1)
    if scale == 0:
        return 0.0, [0] * len(values)
    return scale, [round(value / scale) for value in values]
    ### END SOLUTION


# %%
check("memory.quantise", my_quantise)

# %% [markdown]
# <!-- card: traces.parse -->


# %%
def my_parse_trace(text, prefilled=False):
    """Thought and answer of what a model wrote: (thinking, answer), without blanks around them.

    `<think>` counts only at the beginning (blanks may stand before it); it is missing where it was
    part of the prompt. Everything before the first `</think>` is thought, everything after it
    answer. Without `</think>` all of it is thought if the text begins with `<think>` or if
    `prefilled` says that the prompt did; otherwise all of it is answer.
    """
    ### BEGIN SOLUTION
    body = text.lstrip()
    opened = body.startswith("<think>")
    body = body.removeprefix("<think>")
    thinking, closing, answer = body.partition("</think>")
    if not closing and not (opened or prefilled):
        thinking, answer = "", body
    return thinking.strip(), answer.strip()
    ### END SOLUTION


# %%
check("traces.parse", my_parse_trace)

# %% [markdown]
# <!-- card: traces.attempts -->
#
# A thought of the mini-R1 is attempts one after the other: `+3=10 -5=5 +2=7 no -3=4 -5=-1 yes`.
# Steps begin with + or -; the verdicts are `yes` and `no`.


# %%
def count_attempts(thinking):
    """(attempts, rejected, repeats) of a thought.

    An attempt is some steps and the verdict that ends them; steps without a verdict at the end are
    no attempt. Rejected ones have the verdict `no`. A repeat has the same signs, in the same order,
    as any attempt before it, whatever its totals and its notation.
    """
    ### BEGIN SOLUTION
    attempts, rejected, repeats = 0, 0, 0
    signs, seen = "", set()
    for word in thinking.split():
        if word in ("yes", "no"):
            attempts += 1
            rejected += word == "no"
            repeats += signs in seen
            seen.add(signs)
            signs = ""
        else:
            signs += word[0]
    return attempts, rejected, repeats
    ### END SOLUTION


# %%
check("traces.attempts", count_attempts)

# %% [markdown]
# <!-- card: memory.choose_file -->


# %%
def choose_file(config, files, memory_gib, overhead_gib, tokens):
    """The name of the largest file beside which `tokens` tokens of context fit, or None.

    config: as in `my_kv_cache_bytes`, with 2 bytes a number of the cache. files: a dictionary from
    name to size in GB, of the same model. memory_gib, overhead_gib: as in `longest_context`.
    """
    ### BEGIN SOLUTION
    per_token = my_kv_cache_bytes(config, 1)
    fits = [
        name
        for name, size in files.items()
        if longest_context(memory_gib, size, overhead_gib, per_token) >= tokens
    ]
    return max(fits, key=files.get, default=None)
    ### END SOLUTION


# %%
check("memory.choose_file", choose_file)
