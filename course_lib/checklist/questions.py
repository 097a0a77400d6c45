"""The six questions of the course, each with several ways of answering it.

No answer stands here: what is right is computed from the ledger (`course_lib.facts`), from the
arithmetic of the lessons and from the learner's own machine, model and run (`Evidence`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from course_lib.checklist import own_questions
from course_lib.checklist.evidence import Evidence, gather
from course_lib.checklist.quiz import (
    Ask,
    Choice,
    Mixup,
    Number,
    Option,
    Order,
    Question,
    Slip,
    State,
    States,
    fixed,
)
from course_lib.facts import value
from course_lib.local import memory
from course_lib.model import accounting
from course_lib.moe.architectures import CONFIGS, OLLAMA_TAGS

FOR_THE_SYSTEM = 2 * memory.GIB
"""Bytes that we leave to the operating system and a browser when asking what fits."""


def checklist(evidence: Evidence | None = None) -> dict[str, Question]:
    """The six questions by name: cost, training, experts, distills, local, data.

    `evidence` is gathered anew at each check unless it is given. What is asked depends on it too:
    a run of the learner's own, once there is one, takes the place of the paper's.
    """
    now = evidence or gather()

    def state() -> State:
        return {"evidence": evidence or gather()}

    makers = (_cost, _training, _experts, _distills, _local, _data)
    return {question.name: question for question in (make(now, state) for make in makers)}


def _with_own(
    name: str, title: str, ways: tuple[Ask, ...], own: tuple[Ask, ...], state: States, explore: str
) -> Question:
    """A question whose ways about the learner's own things come last and at the end only."""
    later = [way.name for way in own]
    return Question(name, title, (*ways, *own), state, explore, later)


# --- 1: what it costs -----------------------------------------------------------------------------


def answer_cents(price: float, tokens: float) -> float:
    """US cents for `tokens` tokens at `price` USD per million tokens."""
    return 100 * price * tokens / 1e6


def _cost(now: Evidence, state: States) -> Question:
    return _with_own(
        "cost",
        "1. What did R1 do to the cost of reasoning?",
        (_cents(), _gap(), _news()),
        own_questions.own_bill(now),
        state,
        "Move the sliders of the cost widget in 01_cost_reset: what you pay for is the thinking.",
    )


def _cents() -> Number:
    tokens, price = value("r1.aime_2024.thinking_tokens"), value("api.r1_launch.output")
    cents, other = answer_cents(price, tokens), value("api.o1.output")
    return Number(
        "cents",
        f"R1 thought for about {tokens:,} tokens over a question of AIME 2024. At its launch price "
        f"of ${price} per million output tokens, what did that thinking cost, in US cents?",
        "US cents",
        fixed(cents),
        f"{tokens:,} tokens at ${price} a million are {cents:.2f} cents: thinking is billed as "
        "output, and it is nearly all of the bill.",
        slips=(
            Slip(fixed(cents / 100), "the cost in dollars", "The question asks for cents."),
            Slip(
                fixed(answer_cents(value("api.r1_launch.input"), tokens)),
                "the price of input tokens",
                "Thinking tokens come out of the model: they are billed as output.",
            ),
            Slip(
                fixed(100 * price),
                "the price of a million tokens",
                "An answer is far shorter than a million tokens: pay for its share.",
            ),
            Slip(
                fixed(answer_cents(other, tokens)),
                "what it would cost at o1's price",
                f"R1's launch price was ${price} a million, not ${other:g}.",
            ),
        ),
    )


def _gap() -> Number:
    ours, theirs = value("r1.aime_2024.pass_at_1"), value("o1_1217.aime_2024.pass_at_1")
    problems = value("problems.aime_2024")
    gap = (ours - theirs) * problems / 100
    return Number(
        "gap",
        f"On AIME 2024 R1 has {ours} % and o1-1217 has {theirs} %. AIME 2024 has {problems} "
        "problems. How many problems lie between the two?",
        "problems",
        fixed(gap),
        f"{ours - theirs:.1f} points of {problems} problems are {gap:.2f} of one problem: the two "
        "are level on this test.",
        slips=(
            Slip(
                fixed(ours - theirs),
                "points taken for problems",
                f"A point is a hundredth of {problems} problems.",
            ),
        ),
    )


def _news() -> Choice:
    ratio, problems = value("api.price_ratio.output"), value("comparison.aime_gap_problems")
    total, base = value("cost.r1_total.usd"), value("cost.v3_total.usd")
    behind, metrics = value("comparison.r1_behind_o1"), value("comparison.metrics")
    options = {
        "price": Option(
            "About the same maths for a small part of the price of output",
            f"o1's output cost {ratio:.0f} times as much, and on AIME the two were "
            f"{problems:.2f} problems apart. On {behind} of {metrics} shared metrics o1 was ahead.",
        ),
        "total": Option(
            f"All of R1 was trained for ${total:,}",
            f"That is the part after V3-Base, which cost ${base:,} for its final run alone.",
            "the top-up taken for the whole",
        ),
        "better": Option(
            "It beat o1 wherever both were measured",
            f"Of {metrics} metrics that have both values, o1 is ahead on {behind}.",
            "a headline taken for the table",
        ),
        "short": Option(
            "It needs fewer tokens to think",
            "Its thoughts are long: price per token fell, thoughts did not get shorter.",
            "price per token taken for tokens per answer",
        ),
    }

    def right(_: State) -> str:
        return "price" if ratio > 1 and abs(problems) < 1 and behind else "better"

    return Choice("news", "What was new about R1 in January 2025?", options, right)


# --- 2: how it was trained ------------------------------------------------------------------------


def _training(now: Evidence, state: States) -> Question:
    return _with_own(
        "training",
        "2. What is the key difference in R1's training?",
        (_reward(), _stages(), _growth()),
        own_questions.own_growth(now),
        state,
        "03_r1_zero grows reasoning from outcome reward; 04_r1_pipeline has the four stages.",
    )


def _reward() -> Choice:
    options = {
        "outcome": Option(
            "Rules that look at the answer and at its format",
            f"The reward was {value('r1_zero.rl.reward')}; nothing rewarded thinking itself.",
        ),
        "copied": Option(
            "Chains of thought that people wrote, copied in fine-tuning",
            "R1-Zero was shown no chains of thought to copy: RL started straight from V3-Base.",
            "supervised fine-tuning taken for reinforcement learning",
        ),
        "process": Option(
            "A reward for every good step of the reasoning",
            "The paper lists process rewards among what did not work for it.",
            "a process reward taken for an outcome reward",
        ),
        "judge": Option(
            "A neural network that scores how good an answer reads",
            "A learned judge can be gamed, so R1-Zero had none; R1 used one only at the end.",
            "a reward model taken for a rule",
        ),
    }

    def right(_: State) -> str:
        return "outcome" if "accuracy" in value("r1_zero.rl.reward") else "judge"

    return Choice("reward", "What did R1-Zero's reasoning grow from?", options, right)


def _stages() -> Order:
    last, all_steps = value("r1_stage_2.rl.preference_steps"), value("r1_stage_2.rl.steps")
    samples = value("sft.total.samples")
    order = ("cold", "rl", "sft", "preference")
    return Order(
        "stages",
        "Put the stages that made R1 in order.",
        {
            "preference": "RL with preferences as well as rules",
            "sft": "Fine-tuning on chosen answers of the stage before, from V3-Base",
            "cold": "A cold start: fine-tuning on thousands of long thoughts",
            "rl": "RL for reasoning, with rules and language consistency",
        },
        lambda _: order,
        f"So it was. The chosen answers made most of {samples:,} samples, and preferences counted "
        f"only in the last {last} of {all_steps:,} steps.",
        (
            Mixup(
                "rl",
                "cold",
                "R1-Zero taken for R1",
                "R1-Zero starts with RL; R1 starts with a cold start, so that it can be read.",
            ),
            Mixup(
                "preference",
                "rl",
                "the usual order of a chat model",
                "Here reasoning came first, and preferences last.",
            ),
            Mixup(
                "sft",
                "rl",
                "fine-tuning before there is anything to choose from",
                "The samples are answers of the model that RL has made.",
            ),
        ),
    )


def _growth() -> Number:
    start, end = (value(f"{m}.aime_2024.pass_at_1") for m in ("r1_zero_base", "r1_zero_v1"))
    return Number(
        "growth",
        f"V3-Base solved {start} % of AIME 2024. How many percent did R1-Zero solve, by the "
        "first version of the paper?",
        "%",
        fixed(end),
        f"{end} %, from the outcome alone. Run 03_r1_zero to see it with a model of your own.",
        slips=(
            Slip(
                fixed(value("r1_zero.aime_2024.pass_at_1")),
                "the figure of the later version",
                "Both are the paper's: say which version a number comes from.",
            ),
        ),
    )


# --- 3: the mixture of experts --------------------------------------------------------------------


def _experts(now: Evidence, state: States) -> Question:
    return Question(
        "experts",
        "3. What is a mixture of experts, and why does it matter for R1's cost?",
        (_share("share", "R1", lambda _: CONFIGS["R1"]), *_own_share(now), _saves()),
        state,
        "The router of 02_mixture_of_experts shows which parameters a token meets.",
    )


def active_percent(config: Mapping) -> float:
    """Percent of a model's parameters that one token goes through."""
    count = accounting.count_parameters(config)
    return 100 * count.active / count.total


def _routed_percent(config: Mapping) -> float:
    return 100 * config["num_experts_per_tok"] / config["n_routed_experts"]


def _share(name: str, model: str, config: Callable[[State], Mapping]) -> Number:
    def reply(state: State) -> str:
        count = accounting.count_parameters(config(state))
        return (
            f"{count.active:,} of {count.total:,} parameters work on a token, "
            f"{active_percent(config(state)):.1f} %."
        )

    return Number(
        name,
        f"What share of the parameters of {model} works on one token?",
        "%",
        lambda s: active_percent(config(s)),
        reply,
        slips=(
            Slip(
                lambda s: _routed_percent(config(s)),
                "the share of the routed experts",
                "Attention, the shared expert and the embeddings work on every token as well.",
            ),
            Slip(
                fixed(100),
                "a dense model",
                "The router sends a token to a few experts: most of the parameters wait.",
            ),
        ),
    )


def _own_share(now: Evidence) -> tuple[Number, ...]:
    """The same of the learner's own model, if there is one."""
    own = now.config
    name = "your own mini-V3" if now.run else "the mini-V3 that comes with the course"
    return (_share("own_share", name, lambda _: own),) if own else ()


def _saves() -> Choice:
    config = CONFIGS["R1"]
    share = active_percent(config) / 100
    held = accounting.resident_bytes(config, 1) / memory.GB
    read = accounting.bytes_read(config, 1, 1) / memory.GB
    needed = f"all {held:.0f} GB (FP8) must be held, since any token may call any expert"
    options = {
        "work": Option(
            "Arithmetic per token, and not the memory to hold the model",
            f"A token costs {share:.1%} of the arithmetic and reads about {read:.0f} GB of "
            f"weights, yet {needed}.",
        ),
        "memory": Option(
            "Memory: only the chosen experts need be loaded",
            f"The next token chooses others: {needed}.",
            "active parameters taken for those that must be held",
        ),
        "both": Option(
            "Both arithmetic and memory, in the same measure",
            f"Arithmetic falls to {share:.1%}; memory does not: {needed}.",
            "active parameters taken for all of them",
        ),
        "ensemble": Option(
            "Neither: every expert answers and the best answer is taken",
            "A router chooses experts for every token and layer; the others do not run.",
            "a mixture of experts taken for an ensemble",
        ),
    }

    def right(_: State) -> str:
        holds_all = (
            accounting.resident_bytes(config, 1) >= accounting.count_parameters(config).total
        )
        return ("work" if holds_all else "both") if share < 1 else "ensemble"

    return Choice("saves", "What does R1 save by being a mixture of experts?", options, right)


# --- 4: the distills ------------------------------------------------------------------------------


def _distills(now: Evidence, state: States) -> Question:
    return _with_own(
        "distills",
        "4. What are the distilled models, and how do they differ from the full R1?",
        (_what(), _against_rl()),
        own_questions.own_distill(now, state),
        state,
        "05_distillation trains one and sets it against RL on the same student.",
    )


def _what() -> Choice:
    kinds = {CONFIGS[name]["model_type"] for name in CONFIGS if "Distill" in name}
    samples = value("sft.samples_sum")
    options = {
        "dense": Option(
            "Dense Qwen and Llama models, fine-tuned on R1's samples",
            f"{samples:,} samples, plain fine-tuning, no RL; other sizes, other architectures.",
        ),
        "quantised": Option(
            "R1 itself, stored in fewer bits",
            "Quantising keeps the model and shortens its numbers. A distill is another model.",
            "quantisation taken for distillation",
        ),
        "pruned": Option(
            "R1 with most of its experts cut out",
            "A distill has no experts at all: it is dense.",
            "pruning taken for distillation",
        ),
        "rl": Option(
            "Small models that went through R1's own RL",
            "The distills had no RL. RL on a 32B base, tried for comparison, did worse.",
            "distillation taken for reinforcement learning",
        ),
    }

    def right(_: State) -> str:
        return "pruned" if "deepseek_v3" in kinds else "dense"

    return Choice("what", "What is DeepSeek-R1-Distill-Qwen-7B?", options, right)


def _against_rl() -> Number:
    distill, rl, teacher = (
        value(f"{model}.aime_2024.pass_at_1")
        for model in ("distill_qwen_32b", "r1_zero_qwen_32b", "r1")
    )
    return Number(
        "against_rl",
        f"RL on Qwen-32B itself reached {rl} % on AIME 2024, and distilling R1 into a 32B reached "
        f"{distill} %. R1 has {teacher} %. What share of the way from RL to R1 did distilling "
        "cover?",
        "%",
        fixed(100 * (distill - rl) / (teacher - rl)),
        f"{distill - rl:.1f} of {teacher - rl:.1f} points: a strong teacher's traces were worth "
        "more to a small model than RL of its own.",
        slips=(
            Slip(
                fixed(distill - rl),
                "the points gained",
                "The question asks for their share of the whole way.",
            ),
            Slip(
                fixed(100 * distill / teacher),
                "the share of R1's score",
                "Count from where RL alone had come, not from zero.",
            ),
        ),
    )


# --- 5: on one's own machine ----------------------------------------------------------------------


def needed_gib(tag: str, context: int) -> float:
    """GiB for an Ollama tag's model in Q4_K_M with a cache for `context` tokens, and overhead."""
    return memory.estimate(CONFIGS[OLLAMA_TAGS[tag]], "q4_k_m", context).total / memory.GIB


def room_in(machine: Evidence) -> float:
    """GiB for a model: what the system leaves of the memory, or a graphics card's where larger."""
    return max(machine.memory - FOR_THE_SYSTEM, machine.graphics, 0) / memory.GIB


def largest_that_fits(machine: Evidence, context: int) -> str:
    """The largest tag that fits into a machine's room; 'none' if not even the smallest does."""
    room = room_in(machine)
    fitting = [tag for tag in OLLAMA_TAGS if needed_gib(tag, context) <= room]
    return max(fitting, key=lambda tag: needed_gib(tag, context), default="none")


def _local(now: Evidence, state: States) -> Question:
    return _with_own(
        "local",
        "5. What hardware do you need to run deepseek-r1:7b?",
        (_seven(), _fits(now)),
        (*own_questions.ceiling(now), *own_questions.own_speed(now, state)),
        state,
        "Will it run? in 06_local_inference does this sum for your machine.",
    )


def _seven() -> Number:
    context = value("ollama.context.under_24_gib")
    config = CONFIGS["R1-Distill-Qwen-7B"]
    needed = needed_gib("deepseek-r1:7b", context)
    parts = memory.estimate(config, "q4_k_m", context)
    thought = value("r1.aime_2024.thinking_tokens")
    return Number(
        "seven",
        f"deepseek-r1:7b is a file in Q4_K_M. How many GiB does it need with a context of "
        f"{context:,} tokens?",
        "GiB",
        fixed(needed),
        f"{parts.weights / memory.GIB:.1f} of weights, {parts.cache / memory.GIB:.1f} of cache "
        f"and {parts.overhead / memory.GIB:.1f} or so of overhead: {needed:.1f} GiB. That context "
        f"is Ollama's default below 24 GiB; a thought of {thought:,} tokens needs a longer one.",
        tolerance=0.15,
        slips=(
            Slip(
                fixed(memory.weights_bytes(config, "bf16") / memory.GIB),
                "the size in 16 bits",
                "Ollama's file has under 5 bits a parameter.",
            ),
            Slip(
                fixed(memory.weights_bytes(config, "fp8") / memory.GIB),
                "a byte for each parameter",
                "Q4_K_M has under 5 bits a parameter, a little more than half a byte.",
            ),
            Slip(fixed(8), "the size of a card that is enough", "How much of it is used?"),
        ),
    )


def _fits(now: Evidence) -> Choice:
    context = value("ollama.context.under_24_gib")
    options = {
        tag: Option(f"{tag} ({OLLAMA_TAGS[tag]})", _fit_reply(tag, context)) for tag in OLLAMA_TAGS
    }
    smallest = min(OLLAMA_TAGS, key=lambda tag: needed_gib(tag, context))
    options["none"] = Option("None of them", _fit_reply(smallest, context))
    return Choice(
        "fits",
        f"This machine has {now.memory / memory.GIB:.1f} GiB of memory{_and_a_card(now)}. Leave "
        f"{FOR_THE_SYSTEM // memory.GIB} GiB of memory to the system and take a context of "
        f"{context:,} tokens: which is the largest model that it can hold, be it slowly?",
        options,
        lambda s: largest_that_fits(s["evidence"], context),
        as_listed=True,
    )


def _and_a_card(now: Evidence) -> str:
    if not now.graphics:
        return ""
    return f" and a graphics card with {now.graphics / memory.GIB:.1f} GiB of its own"


def _fit_reply(tag: str, context: int) -> Callable[[State], str]:
    def reply(state: State) -> str:
        room = room_in(state["evidence"])
        needed = needed_gib(tag, context)
        fits = "it fits" if needed <= room else "it does not fit"
        best = largest_that_fits(state["evidence"], context)
        more = "" if needed > room or best == tag else ", and it is not the largest that does"
        return f"{tag} needs {needed:.1f} GiB and there are {room:.1f}: {fits}{more}."

    return reply


# --- 6: data and limits ---------------------------------------------------------------------------


def _data(now: Evidence, state: States) -> Question:
    return _with_own(
        "data",
        "6. What stays on your machine, and what can you not rely on?",
        (_leaves(), _owned_up(), _tools()),
        own_questions.audit(now, state),
        state,
        "07_your_data_your_limits measures the one and shows the other.",
    )


def _leaves() -> Choice:
    place = value("safety.residency")
    options = {
        "prompts": Option(
            "Your questions stay with you; licences, logs and safety become your own task",
            f"Answering needs no network. DeepSeek's hosted service, by its policy, keeps data on "
            f"{place}.",
        ),
        "reports": Option(
            "Open weights report back to whoever made them",
            "Weights are numbers in a file. Only the program that runs them could send anything.",
            "weights taken for a program",
        ),
        "compliant": Option(
            "Everything is private, so no rule on data applies any more",
            "Where data is kept is one question; who may read, log and keep it is still yours.",
            "where data lies taken for compliance",
        ),
        "same": Option(
            "The same as with the hosted service: the model is the same",
            f"The model may be; the place is not. The hosted service keeps data on {place}.",
            "the model taken for the service",
        ),
    }

    def right(_: State) -> str:
        return "prompts" if place and value("licence.r1") else "same"

    return Choice("leaves", "What changes when you run a distill yourself?", options, right)


def _owned_up() -> Number:
    ours, other = value("faithfulness.r1_hints"), value("faithfulness.claude_3_7_hints")
    return Number(
        "owned_up",
        "Researchers slipped R1 a hint and looked at the cases where it used it. In how many "
        "percent of those did its visible trace say so?",
        "%",
        fixed(ours),
        f"{ours} %. A trace is good for debugging, and no proof of why an answer was given.",
        tolerance=0.1,
        slips=(
            Slip(
                fixed(100 - ours),
                "the share that kept silent",
                "The question asks for the share that owned up.",
            ),
            Slip(fixed(100), "taking a legible trace for a faithful one", "Most traces hid it."),
            Slip(fixed(other), "Claude 3.7 Sonnet's figure", "R1's is higher, and still low."),
        ),
    )


def _tools() -> Choice:
    able = "cannot" not in value("tools.r1")
    options = {
        "outside": Option(
            "The program around it must fetch the data and put it into the prompt",
            f"R1 of January 2025 {value('tools.r1')}; R1-0528 is {value('tools.r1_0528')}, and "
            "there too a program makes the call.",
        ),
        "itself": Option(
            "R1 looks it up by itself while it thinks",
            "Nothing is sent while it thinks: what looks like a search in a trace is text.",
            "text about a search taken for a search",
        ),
        "knows": Option(
            "It knows: it was trained on everything up to its release",
            f"V3-Base's data ends in {value('data.cutoff')}, half a year before.",
            "the release taken for the end of its data",
        ),
    }

    def right(_: State) -> str:
        return "itself" if able else "outside"

    prompt = "How does R1 of January 2025 answer a question on today's news or your own files?"
    return Choice("tools", prompt, options, right)
