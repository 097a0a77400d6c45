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
# # Exercises: your data, your limits
#
# Each exercise is a card, a cell to write in and a cell that checks. Run the check as often as you
# like: it says what went in, what came out, what was expected and why. Nothing is sent anywhere.
#
# Check the whole notebook from the course's folder with
# `pytest --nbval-lax --nbval-current-env exercises/07_your_data_your_limits.ipynb`:
# it fails on exactly the check cells that are not solved yet.

# %%
import ipaddress
import math
import re
from collections import Counter

from course_lib.classroom.checks import check, hint, solution

# %% [markdown]
# <!-- card: audit.by_hand -->
#
# The puzzle is `7 ? 3 ? 5 ? 2 = 7`; every attempt starts from 7. A model wrote:
#
# `<think> +3=10 -5=4 +2=7 yes</think> + - +`
#
# Which step is the first that is wrong (the first step is number 0, each step is judged from the
# total written before it), and is the *answer* right? Write a pair such as `(2, False)`.

# %%
### BEGIN SOLUTION
audit_by_hand = (1, True)
### END SOLUTION

# %%
check("audit.by_hand", audit_by_hand)

# %% [markdown]
# <!-- card: data.leaves_machine -->


# %%
def leaves_machine(host):
    """Whether a connection to `host` leaves this machine: True or False.

    host: an IPv4 or IPv6 address or a name, as a string. Loopback addresses and the name localhost
    (in any capitals) stay; everything else leaves, your own network included.
    """
    ### BEGIN SOLUTION
    if host.lower() == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True
    ### END SOLUTION


# %%
check("data.leaves_machine", leaves_machine)

# %% [markdown]
# <!-- card: tools.parse_call -->
#
# A model that has no tools of its own can still ask for one in its text:
# `<tool>calculate: 7 + 3</tool>`. The orchestrator reads the request and decides.


# %%
def parse_call(text, allowed):
    """The one tool call in a model's text: (name, argument), or None where it is refused.

    A call is `<tool>name: argument</tool>` anywhere in the text: a name of word characters, a
    colon, an argument that may go over several lines, whose blanks around it go. Refused are: no
    call, more than one, a name that is not in `allowed` (a list; exact), an argument of more than
    100 characters.
    """
    ### BEGIN SOLUTION
    calls = re.findall(r"<tool>(\w+):(.*?)</tool>", text, re.DOTALL)
    if len(calls) != 1:
        return None
    name, argument = calls[0]
    argument = argument.strip()
    if name not in allowed or len(argument) > 100:
        return None
    return name, argument
    ### END SOLUTION


# %%
check("tools.parse_call", parse_call)

# %% [markdown]
# <!-- card: retrieval.rank -->


# %%
def rank_documents(query, documents):
    """The documents that have something to say on the query, best first: a list of indices.

    query: a string; documents: a list of strings. Words are what blanks part, in lower case. A
    word's rarity is log(number of documents / number of documents that have it). A document's score
    is, summed over the different words of the query, how often it has the word times the word's
    rarity. Documents with score 0 are left out; of a tie the earlier document comes first.
    """
    ### BEGIN SOLUTION
    counts = [Counter(document.lower().split()) for document in documents]
    scores = [0.0] * len(documents)
    for word in set(query.lower().split()):
        having = sum(word in count for count in counts)
        for i, count in enumerate(counts):
            if word in count:
                scores[i] += count[word] * math.log(len(documents) / having)
    found = [i for i, score in enumerate(scores) if score > 0]
    return sorted(found, key=lambda i: -scores[i])
    ### END SOLUTION


# %%
check("retrieval.rank", rank_documents)

# %% [markdown]
# <!-- card: audit.first_wrong_step -->


# %%
def first_wrong_step(numbers, thinking):
    """The number of the first step whose written total is wrong, or None where all are right.

    numbers: the puzzle's numbers; every attempt starts from the first of them. thinking: steps such
    as `-5=4` in digits, and verdicts (`yes`, `no`) that end attempts, with blanks between. A step
    is judged from the total that was written before it. Steps are numbered from 0 through the whole
    thought; verdicts are not numbered.
    """
    ### BEGIN SOLUTION
    total, number = numbers[0], 0
    for word in thinking.split():
        if word in ("yes", "no"):
            total = numbers[0]
            continue
        step, written = word.split("=")
        if total + int(step) != int(written):
            return number
        total = int(written)
        number += 1
    return None
    ### END SOLUTION


# %%
check("audit.first_wrong_step", first_wrong_step)

# %% [markdown]
# <!-- card: tools.answer_calls -->


# %%
def answer_calls(replies, documents, allowed):
    """What the tools give for a model's replies: a list with one result for each reply.

    None where `parse_call` refuses. For `search` the best document, as text, or "" where nothing
    is found; "" for any other tool that is allowed, since none is here.
    """
    ### BEGIN SOLUTION
    results = []
    for reply in replies:
        call = parse_call(reply, allowed)
        if call is None:
            results.append(None)
            continue
        name, argument = call
        found = rank_documents(argument, documents) if name == "search" else []
        results.append(documents[found[0]] if found else "")
    return results
    ### END SOLUTION


# %%
check("tools.answer_calls", answer_calls)
