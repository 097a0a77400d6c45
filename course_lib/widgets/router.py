"""The router to play with: a token's logits and the experts' bias in, the route worked out."""

import ipywidgets as ipw
import torch
from markupsafe import Markup

from course_lib.model.accounting import count_parameters, resident_bytes
from course_lib.model.router import balance_bias
from course_lib.moe.architectures import CONFIGS
from course_lib.moe.route_table import RouteTable, batch_load, fit, tabulate, words
from course_lib.moe.router_bugs import BUGS, broken_route, describe
from course_lib.show import svg, tables
from course_lib.widgets.base import Widget, button, choice, row, slider

EXPERTS = 8
LOGITS = (2.0, 0.0, -1.0, -2.0, 1.0, 0.5, -0.5, -1.5)
BALANCE_STEP = 0.05

_HEADS = ("expert", "group", "logit", "score", "bias", "for choosing", "chosen", "weight")


class Router(Widget):
    """Eight experts; every number that leads from the logits to the weights is shown.

    Under the route: the load of a batch of tokens around these logits, a button that moves the
    bias as V3 does after a batch, and the size of a real model of the reader's choice.
    """

    title = "One token's route"
    beside = True
    column = "15em"

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """A logit and a bias for each expert, the routing's settings, a bug, and a model."""
        made: dict[str, ipw.ValueWidget] = {}
        for i in range(EXPERTS):
            made[f"logit_{i}"] = slider(f"Logit {i}", -6.0, 6.0, LOGITS[i], step=0.25)
            made[f"bias_{i}"] = slider(f"Bias {i}", -1.0, 1.0, 0.0, step=BALANCE_STEP)
        for control in made.values():
            control.style.description_width = "4em"
        settings: dict[str, ipw.ValueWidget] = {
            "top_k": slider("Experts per token (top-k)", 1, 8, 2),
            "n_group": choice("Groups", [1, 2, 4]),
            "topk_group": slider("Groups that stay", 1, 4, 1),
            "bug": choice("Compare with the bug", {"none": "", **{name: name for name in BUGS}}),
            "model": choice("Size of", list(CONFIGS), "R1"),
        }
        for control in settings.values():
            control.add_class("ir1-row")
        return made | settings

    def groups(self) -> dict[str, list[str]]:
        """The experts, each with logit and bias side by side, and how is routed."""
        experts = [name for name in self._controls if name[-1].isdigit()]
        rest = [name for name in self._controls if name not in experts]
        return {"Every expert's logit and bias": experts, "The routing": rest}

    def extras(self) -> list[ipw.Widget]:
        """Buttons: one step of balancing, and everything back to the start."""
        return [row(button("Balance one step", self.balance), button("Reset", self.reset))]

    def balance(self) -> None:
        """Move every bias one step against its expert's load in the batch."""
        loads = torch.tensor(self._loads())
        moved = balance_bias(torch.tensor(self._bias()), loads, BALANCE_STEP)
        self.set(**{f"bias_{i}": round(b, 2) for i, b in enumerate(moved.clamp(-1, 1).tolist())})

    def picture(self) -> str:
        """The table of the arithmetic, and the load of the batch as bars."""
        loads = {f"expert {i}": value for i, value in enumerate(self._loads())}
        title = "Load of 512 tokens around these logits (1 is an even share)"
        return _table_html(self._table()) + svg.bars(title, loads, most=EXPERTS / 2)

    def text(self) -> str:
        """The route, the broken route if one is asked for, the load, and the model's size."""
        parts = [words(self._table()), self._bug_words(), self._load_words(), self._size_words()]
        return " ".join(filter(None, [self._fit_words(), *parts]))

    def _logits(self) -> list[float]:
        return [self.state[f"logit_{i}"] for i in range(EXPERTS)]

    def _bias(self) -> list[float]:
        return [self.state[f"bias_{i}"] for i in range(EXPERTS)]

    def _routing(self) -> dict[str, int]:
        wanted = {name: self.state[name] for name in ("top_k", "n_group", "topk_group")}
        return dict(zip(wanted, fit(EXPERTS, **wanted), strict=True))

    def _table(self) -> RouteTable:
        return tabulate(self._logits(), self._bias(), **self._routing())

    def _loads(self) -> list[float]:
        return batch_load(self._logits(), self._bias(), **self._routing())

    def _fit_words(self) -> str:
        routing, groups = self._routing(), self.state["n_group"]
        said = []
        if groups > 1 and routing["topk_group"] < self.state["topk_group"]:
            said.append(f"There are only {groups} groups, and all of them stay.")
        if routing["top_k"] < self.state["top_k"]:
            said.append(f"Only {routing['top_k']} experts are left to choose from; top-k is that.")
        return " ".join(said)

    def _bug_words(self) -> str:
        bug = self.state["bug"]
        if not bug:
            return ""
        logits, bias = torch.tensor([self._logits()]), torch.tensor(self._bias())
        route = describe(*broken_route(bug, logits, bias, **self._routing()))
        right = " + ".join(f"expert {x.expert} x {x.weight:.3f}" for x in self._table().chosen)
        verdict = "no difference here" if route == right else f"instead of {right}"
        return f"With the bug '{bug}' ({BUGS[bug].wrong}): {route}, {verdict}."

    def _load_words(self) -> str:
        loads = self._loads()
        busiest = max(range(EXPERTS), key=loads.__getitem__)
        idlest = min(range(EXPERTS), key=loads.__getitem__)
        return (
            f"In the batch expert {busiest} gets {loads[busiest]:.2f} times an even share and "
            f"expert {idlest} {loads[idlest]:.2f} times."
        )

    def _size_words(self) -> str:
        name = self.state["model"]
        count, weights = count_parameters(CONFIGS[name]), resident_bytes(CONFIGS[name], 1)
        return (
            f"{name} holds {count.total / 1e9:,.1f} billion parameters ({weights / 1e9:,.0f} GB at "
            f"one byte each) and sends a token through {count.active / 1e9:,.1f} billion of them."
        )


def _table_html(table: RouteTable) -> str:
    """The route as a table: experts of lost groups are struck through, those chosen are bold."""
    rows = []
    for x in table.lines:
        state = "yes" if x.chosen else ("no" if x.stays else "group lost")
        weight = f"{x.score:.3f} / {table.total:.3f} = {x.weight:.3f}" if x.chosen else "0"
        cells = (x.group, f"{x.logit:g}", f"{x.score:.3f}", f"{x.bias:+.2f}", f"{x.biased:.3f}")
        look = Markup("<b>{}</b>" if x.chosen else "{}" if x.stays else "<s>{}</s>")
        whole = Markup('<span style="white-space:nowrap">{}</span>').format(weight)
        rows.append((x.expert, *map(look.format, cells), state, whole))
    caption = "Score is the sigmoid of the logit; for choosing counts score + bias."
    return tables.html(caption, _HEADS, rows)
