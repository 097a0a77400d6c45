"""Widgets of the first lesson: what an answer costs, and when a machine of one's own pays."""

import math

import ipywidgets as ipw

from course_lib.cost import costs
from course_lib.show import svg
from course_lib.widgets.base import Widget, number, slider

SHARES = [share / 100 for share in range(2, 101, 2)]


class CostPerAnswer(Widget):
    """What the same answers cost with R1 at launch and with o1, thinking billed as output."""

    title = "What an answer costs"
    beside = True

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """Lengths in tokens, the cached share of the question in per cent, and how many answers."""
        return {
            "question": slider("Tokens in the question", 0, 20_000, 500, step=100),
            "r1_thinking": slider("R1's thinking tokens", 0, 32_000, 12_000, step=500),
            "o1_thinking": slider("o1's thinking tokens", 0, 32_000, 12_000, step=500),
            "reply": slider("Tokens in the reply", 0, 8_000, 500, step=100),
            "cached": slider("Question found in the cache, %", 0, 100, 0, step=5),
            "answers": slider("Answers", 1, 10_000, 1_000),
        }

    def bill(self) -> dict[str, dict[str, float]]:
        """Model -> part of the answer -> USD, for all the answers together."""
        state = self.state
        thinking = dict(
            zip(costs.MODELS, (state["r1_thinking"], state["o1_thinking"]), strict=True)
        )
        bill = {}
        for model, tokens in thinking.items():
            answer = costs.Answer(state["question"], tokens, state["reply"], state["cached"] / 100)
            parts = costs.answer_parts(costs.price_of(model), answer)
            bill[model] = {part: usd * state["answers"] for part, usd in parts.items()}
        return bill

    def picture(self) -> str:
        """A bar for each model, made of question, thinking and reply."""
        return svg.stacked_bars(f"{self.state['answers']:,} answers, USD", self.bill(), "USD")

    def text(self) -> str:
        """Both totals, what one answer costs, and their ratio."""
        totals = {model: sum(parts.values()) for model, parts in self.bill().items()}
        said = [
            f"{model}: ${usd:,.2f} for {self.state['answers']:,} answers, "
            f"${usd / self.state['answers']:.4f} each."
            for model, usd in totals.items()
        ]
        r1, o1 = totals.values()
        ratio = f"o1 costs {o1 / r1:.1f} times as much." if r1 else "There is nothing to pay."
        return " ".join([*said, ratio])


class OwnMachine(Widget):
    """The cost of a million tokens on one's own machine, over how much of the time it works."""

    title = "A machine of your own, or an API"
    beside = True

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """The machine, the price of electricity, and the API's price; all are assumptions."""
        return {
            "usd": slider("Machine, USD", 500, 20_000, 2_500, step=100),
            "watts": slider("Watts while it works", 20, 1_500, 400, step=10),
            "speed": slider("Tokens per second, all users", 1, 2_000, 50),
            "years": slider("Years of use", 1, 8, 3),
            "kwh": number("USD per kWh", 0.25, maximum=5),
            "api": number("API, USD per million tokens", 2.19, maximum=1000),
        }

    def machine(self) -> costs.Machine:
        """The machine that the controls describe."""
        state = self.state
        return costs.Machine(state["usd"], state["watts"], state["speed"], state["years"])

    def picture(self) -> str:
        """The machine's cost per million tokens as a curve, the API's as a line."""
        machine, kwh, api = self.machine(), self.state["kwh"], self.state["api"]
        own = [costs.own_cost_per_million(machine, share, kwh) for share in SHARES]
        series = {"own machine": own, "API": [api] * len(SHARES)}
        top = max(4 * api, 2 * own[-1])
        names = ("share of the time at work, %", "USD per million tokens")
        return svg.lines(self.title, [100 * s for s in SHARES], series, *names, y_range=(0, top))

    def text(self) -> str:
        """The break-even, or that there is none."""
        share = costs.break_even(self.machine(), self.state["api"], self.state["kwh"])
        busy = costs.own_cost_per_million(self.machine(), 1, self.state["kwh"])
        said = f"At work all the time a million tokens cost ${busy:.2f} on this machine."
        if math.isinf(share):
            return f"{said} Its electricity alone costs as much as the API: it never pays."
        if share > 1:
            return f"{said} It would have to work {share:.1f} times round the clock: it never pays."
        return f"{said} It pays from {100 * share:.0f} % of the time at work."
