"""*Will it run?*: a model, its quantisation and context, and a machine to put them on."""

from typing import Any

import ipywidgets as ipw

from course_lib.local import hardware, memory, placement
from course_lib.local.placement import Plan
from course_lib.moe.architectures import CONFIGS
from course_lib.show import svg
from course_lib.widgets.base import Widget, choice

CONTEXTS = (2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
THOUGHTS = (4000, 12_000)
SLOTS = (1, 2, 4, 8)


class WillItRun(Widget):
    """What a model needs in every place beside what the machine lends there, and how fast it is.

    `measured` is a speed in tokens a second that was measured on this machine, and with what.
    """

    title = "Will it run?"
    beside = True

    def __init__(
        self, key: str = "", measured: tuple[str, float] | None = None, **first: Any
    ) -> None:
        self._machines = [*hardware.here(), *hardware.presets()]
        self._measured = measured
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """What to run, how much of it is kept for how many at once, and on what."""
        return {
            "model": choice("Model", list(CONFIGS), "R1-Distill-Qwen-7B"),
            "quantisation": choice("Quantisation", list(memory.QUANTISATIONS), "q4_k_m"),
            "context": choice("Context, tokens", {f"{n:,}": n for n in CONTEXTS}, 16_384),
            "cache": choice("Cache", list(memory.CACHE_TYPES), "f16"),
            "slots": choice("Askers at once", {str(n): n for n in SLOTS}, 1),
            "machine": choice("Machine", [machine.name for machine in self._machines]),
        }

    def machine(self) -> hardware.Machine:
        """The machine that is chosen."""
        return next(one for one in self._machines if one.name == self.state["machine"])

    def plan(self) -> Plan:
        """How the model is spread over the machine."""
        state = self.state
        return placement.plan(
            CONFIGS[state["model"]], state["quantisation"], state["context"], self.machine(),
            cache_type=state["cache"], slots=state["slots"],
        )  # fmt: skip

    def picture(self) -> str:
        """Two bars in GiB for every place: what is needed there, by part, and what it lends."""
        rows = {}
        for share in self.plan().shares:
            if share.weights:
                parts = {"weights": share.weights, "cache": share.cache, "buffers": share.buffers}
                needed = {name: size / memory.GIB for name, size in parts.items()}
                rows[f"{share.place}: needed"] = needed
                rows[f"{share.place}: lent"] = {"lent": share.free / memory.GIB}
        title = f"{self.state['model']}, {self.state['quantisation']}, on {self.machine().name}"
        return svg.stacked_bars(title, rows, "GiB")

    def text(self) -> str:
        """Whether it fits, the longest context, the speed, and what thoughts take."""
        said = (self._fits(), self._latents(), self._speed(), self._beside())
        return " ".join(filter(None, said))

    def _fits(self) -> str:
        state, plan, machine = self.state, self.plan(), self.machine()
        lent = f"{machine.lent / memory.GIB:.1f} GiB of {machine.name} are lent to a model"
        longest = placement.longest_context(
            CONFIGS[state["model"]], state["quantisation"], machine,
            cache_type=state["cache"], slots=state["slots"],
        )  # fmt: skip
        room = f"The longest context that fits is {longest:,} tokens." if longest else ""
        if plan.whole:
            return f"It fits; {lent}. {room}"
        if plan.fits:
            return (
                f"It fits in part; {lent}: {plan.layers} of {plan.of} layers go there (-ngl "
                f"{plan.layers}), the rest stays with the processor. {room}"
            )
        return f"It does not fit: {plan.missing / memory.GIB:.1f} GiB are missing; {lent}. {room}"

    def _latents(self) -> str:
        config = CONFIGS[self.state["model"]]
        if config["model_type"] != "deepseek_v3":
            return ""
        tokens = self.state["context"] * self.state["slots"]
        plain = memory.kv_cache_bytes(config, tokens, compressed=False) / memory.GIB
        return (
            f"A file from before April 2025 keeps plain keys and values: {plain:.0f} GiB of cache "
            "in place of what is drawn."
        )

    def _speed(self) -> str:
        plan, machine = self.plan(), self.machine()
        if not plan.fits:
            return ""
        first, second = (plan.seconds(n) / 60 for n in THOUGHTS)
        sold = f" ({machine.name}: {machine.sold}.)" if machine.sold else ""
        return (
            f"At {machine.bandwidth / 1e9:,.0f} GB/s at most {plan.speed(1.0):.1f} tokens/s, about "
            f"{plan.speed():.1f} in practice: a thought of {THOUGHTS[0]:,} tokens takes "
            f"{first:.1f} min, one of {THOUGHTS[1]:,} {second:.1f} min.{sold}"
        )

    def _beside(self) -> str:
        if self._measured is None:
            return ""
        what, speed = self._measured
        return f"Measured on this machine: {what}, {speed:.0f} tokens/s."
