"""*Will it run?*: a model, a quantisation, a context, and a machine to put them on."""

from __future__ import annotations

import ipywidgets as ipw

from course_lib.local import hardware, memory
from course_lib.moe.architectures import CONFIGS
from course_lib.show import svg
from course_lib.widgets.base import Widget, choice, number

CONTEXTS = (2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)


class WillItRun(Widget):
    """Weights, cache and overhead stacked against a machine, the longest context, and the speed.

    `measured` is a speed in tokens a second that was measured on this machine, and with what.
    """

    title = "Will it run?"

    def __init__(self, key: str = "", measured: tuple[str, float] | None = None, **first) -> None:
        self._machines = [*hardware.here(), *hardware.presets()]
        self._own_bandwidth = hardware.bandwidth()
        self._measured = measured
        super().__init__(key, **first)

    def controls(self) -> dict[str, ipw.ValueWidget]:
        """What to run, and on what; the bandwidth is this machine's as measured, to be changed."""
        return {
            "model": choice("Model", list(CONFIGS), "R1-Distill-Qwen-7B"),
            "quantisation": choice("Quantisation", list(memory.QUANTISATIONS), "q4_k_m"),
            "context": choice("Context, tokens", {f"{n:,}": n for n in CONTEXTS}, 4096),
            "machine": choice("Machine", [machine.name for machine in self._machines]),
            "bandwidth": number(
                "Memory bandwidth, GB/s", round(self._own_bandwidth / 1e9), minimum=1, maximum=1e5
            ),
        }

    def machine(self) -> hardware.Machine:
        """The machine that is chosen."""
        return next(one for one in self._machines if one.name == self.state["machine"])

    def estimate(self) -> memory.Estimate:
        """What is needed beside what is there, in bytes."""
        state = self.state
        config = CONFIGS[state["model"]]
        size = self.machine().memory
        return memory.estimate(config, state["quantisation"], state["context"], size)

    def picture(self) -> str:
        """Two bars in GiB: what is needed, by part, and what there is."""
        need = self.estimate()
        parts = {"weights": need.weights, "cache": need.cache, "overhead": need.overhead}
        rows = {
            "needed": {name: size / memory.GIB for name, size in parts.items()},
            "there": {self.machine().kind: self.machine().memory / memory.GIB},
        }
        title = f"{self.state['model']}, {self.state['quantisation']}, on {self.machine().name}"
        return svg.stacked_bars(title, rows, "GiB")

    def text(self) -> str:
        """Whether it fits, the longest context, and the ceiling of the speed."""
        state, need = self.state, self.estimate()
        config = CONFIGS[state["model"]]
        longest = memory.longest_context(config, state["quantisation"], self.machine().memory)
        left = (need.left or 0) / memory.GIB
        fits = (
            f"It fits, with {left:.1f} GiB left." if need.fits else f"{-left:.1f} GiB are missing."
        )
        room = f"The longest context that fits is {longest:,} tokens." if longest else ""
        speed = memory.ceiling_tokens_per_second(
            config, state["quantisation"], state["context"], state["bandwidth"] * 1e9
        )
        ceiling = f"At {state['bandwidth']:.0f} GB/s at most {speed:.1f} tokens/s."
        return " ".join(filter(None, [fits, room, ceiling, self._beside()]))

    def _beside(self) -> str:
        if self._measured is None:
            return ""
        what, speed = self._measured
        return f"Measured on this machine: {what}, {speed:.0f} tokens/s."
