"""The six questions of the course: their words are in `data/NAME.toml`, their answers are computed.

Most are asked in two forms about one idea, one before the course and one at the end, so that who
remembers a reply gains nothing by it. A form's words hold names in braces; `use` takes these from
the ledger of facts, and the functions of `_COMPUTED` work out the rest, `right` among it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from course_lib.checklist import own_questions, quiz
from course_lib.checklist.evidence import Evidence, gather
from course_lib.checklist.quiz import Ask, Choice, Number, Option, Order, Question, State
from course_lib.facts import value
from course_lib.local import memory
from course_lib.model import accounting
from course_lib.moe.architectures import CONFIGS, OLLAMA_TAGS

NAMES = ("cost", "training", "experts", "distills", "local", "data")
FORMS = ("before", "after")

Values = dict[str, Any]


def checklist(evidence: Evidence | None = None) -> dict[str, Question]:
    """The six questions by name: cost, training, experts, distills, local, data.

    `evidence` is gathered anew at each check unless it is given. What is asked depends on it too:
    what is about a run or a distill of the learner's own is asked once there is one.
    """
    now = evidence or gather()

    def state() -> State:
        return {"evidence": evidence or gather()}

    return {name: _question(name, now, state) for name in NAMES}


def _question(name: str, now: Evidence, state: Callable[[], State]) -> Question:
    words = own_questions.words_of(name)
    asked = [way for way in words["way"] if not way.get("needs") or getattr(now, way["needs"])]
    forms = {form: {w["name"]: _form(w, form, now) for w in asked if form in w} for form in FORMS}
    own = own_questions.of(name, now, state)
    later = [n for n in forms["after"] if n not in forms["before"]] + [way.name for way in own]
    ways = [*forms["after"].values(), *own]
    return Question(name, words["title"], ways, state, words["explore"], later, forms["before"])


# --- from words to questions ----------------------------------------------------------------------


def _form(way: Mapping[str, Any], form: str, now: Evidence) -> Ask:
    """One form of a way of answering, its prompt filled in for the machine and models of `now`."""
    words = {key: part for key, part in way.items() if key not in FORMS} | way[form]
    words["use"] = way.get("use", {}) | way[form].get("use", {})
    words["form"] = form
    values = partial(_values, words)
    return _MADE[words["kind"]](words, values, values({"evidence": now}))


def _values(words: Mapping[str, Any], state: State) -> Values:
    """What the names in a form's words stand for, in the learner's state."""
    known: Values = {name: value(key) for name, key in words["use"].items()}
    compute = _COMPUTED.get(words["name"])
    if compute is not None:
        known |= compute(known, words, state["evidence"])
    if "moral" in words:
        known["moral"] = words["moral"].format_map(known)
    return known


def _fill(text: str, values: Callable[[State], Values]) -> Callable[[State], str]:
    return lambda state: text.format_map(values(state))


def _number(words: Mapping[str, Any], values: Callable[[State], Values], now: Values) -> Number:
    def one(name: str) -> Callable[[State], float]:
        return lambda state: values(state)[name]

    slips = [
        quiz.Slip(one(s["value"]), s["mistake"], _fill(s["reply"], values)) for s in words["slips"]
    ]
    prompt, reply = words["prompt"].format_map(now), _fill(words["reply"], values)
    tolerance = words.get("tolerance", Number.tolerance)
    return Number(words["name"], prompt, words["unit"], one("right"), reply, tolerance, slips=slips)


def _choice(words: Mapping[str, Any], values: Callable[[State], Values], now: Values) -> Choice:
    options = {
        key: Option(o["text"].format_map(now), _fill(o["reply"], values), o.get("mistake", ""))
        for key, o in words["options"].items()
    }
    prompt = words["prompt"].format_map(now)
    return Choice(words["name"], prompt, options, lambda state: values(state)["right"])


def _order(words: Mapping[str, Any], values: Callable[[State], Values], now: Values) -> Order:
    mixups = [quiz.Mixup(**mixup) for mixup in words["mixups"]]
    reply = _fill(words["reply"], values)
    prompt = words["prompt"].format_map(now)
    return Order(words["name"], prompt, words["items"], lambda _: words["order"], reply, mixups)


_MADE: dict[str, Callable[..., Ask]] = {
    "number": _number,
    "choice": _choice,
    "order": _order,
    "fits": lambda words, values, now: own_questions.fits(now["context"], now["evidence"]),
}


# --- what is right --------------------------------------------------------------------------------


def answer_cents(price: float, tokens: float) -> float:
    """US cents for `tokens` tokens at `price` USD per million tokens."""
    return 100 * price * tokens / 1e6


def active_percent(config: Mapping[str, Any]) -> float:
    """Percent of a model's parameters that one token goes through."""
    count = accounting.count_parameters(config)
    return 100 * count.active / count.total


def _cents(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    right = answer_cents(v["price"], v["tokens"])
    others = {"as_input": v["input"], "at_o1": v["o1"]}
    known = {name: answer_cents(price, v["tokens"]) for name, price in others.items()}
    return {**known, "right": right, "dollars": right / 100, "million": 100 * v["price"]}


def _gap(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    points = v["ours"] - v["theirs"]
    return {"points": points, "right": points * v["problems"] / 100}


def _news(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    if words["form"] == "after":
        right = "base" if v["base"] > v["total"] else "nothing"
        return {"right": right, "percent": 100 * v["total"] / v["base"]}
    level = v["ratio"] > 1 and abs(v["problems"]) < 1 and v["behind"]
    return {"right": "price" if level else "better"}


def _share(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    half = {**CONFIGS["R1"], "n_routed_experts": CONFIGS["R1"]["n_routed_experts"] // 2}
    config = CONFIGS["R1"] if words["form"] == "before" else half
    return _of_config(config)


def _own_share(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    model = "your own mini-V3" if now.run else "the mini-V3 that comes with the course"
    return {**_of_config(now.config or {}), "model": model}


def _of_config(config: Mapping[str, Any]) -> Values:
    count, experts = accounting.count_parameters(config), config["n_routed_experts"]
    routed = 100 * config["num_experts_per_tok"] / experts
    shares = {"right": active_percent(config), "routed": routed, "dense": 100.0}
    return {**shares, "active": count.active, "total": count.total, "experts": experts}


def _saves(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    config = CONFIGS["R1"]
    count, held = accounting.count_parameters(config), accounting.resident_bytes(config, 1)
    kept = "work" if held >= count.total else "both"
    return {
        "right": kept if count.active < count.total else "ensemble",
        "share": count.active / count.total,
        "billions": count.active / 1e9,
        "held": held / memory.GB,
        "read": accounting.bytes_read(config, 1, 1) / memory.GB,
    }


def _what(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    kinds = {CONFIGS[name]["model_type"] for name in CONFIGS if "Distill" in name}
    return {"right": "pruned" if "deepseek_v3" in kinds else "dense"}


def _against_rl(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    gain, whole = v["distill"] - v["rl"], v["teacher"] - v["rl"]
    share = 100 * v["distill"] / v["teacher"]
    return {"right": 100 * gain / whole, "gain": gain, "whole": whole, "of_teacher": share}


def _seven(v: Values, words: Mapping[str, Any], now: Evidence) -> Values:
    config = CONFIGS[OLLAMA_TAGS[words["tag"]]]
    parts = memory.estimate(config, "q4_k_m", v["context"])
    known = {"weights": parts.weights, "cache": parts.cache, "overhead": parts.overhead}
    known |= {"right": parts.total, "no_overhead": parts.weights + parts.cache}
    known |= {name: memory.weights_bytes(config, name) for name in ("bf16", "fp8")}
    in_gib = {name: size / memory.GIB for name, size in known.items()}
    return {**in_gib, "file": parts.weights / memory.GB}


_COMPUTED: dict[str, Callable[[Values, Mapping[str, Any], Evidence], Values]] = {
    "cents": _cents,
    "gap": _gap,
    "news": _news,
    "reward": lambda v, *_: {"right": "outcome" if "accuracy" in v["reward"] else "judge"},
    "share": _share,
    "own_share": _own_share,
    "saves": _saves,
    "what": _what,
    "against_rl": _against_rl,
    "seven": _seven,
    "fits": lambda v, words, now: {"evidence": now},
    "leaves": lambda v, *_: {"right": "prompts" if v["place"] and v["licence"] else "same"},
    "owned_up": lambda v, *_: {"rest": 100 - v["right"], "all": 100},
    "tools": lambda v, *_: {"right": "outside" if "cannot" in v["r1"] else "itself"},
}
