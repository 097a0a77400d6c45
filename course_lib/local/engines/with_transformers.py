"""The transformers engine: a Hugging Face folder, in this process, one token at a time."""

from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers.decoders import DecodeStream

from course_lib.local.engines import base
from course_lib.local.engines.download import bytes_in_float32
from course_lib.model import models
from course_lib.runtime import use_threads


class TransformersEngine(base.Engine):
    """A model folder with safetensors. Weights are held in float32, which is fastest on a CPU."""

    kind = "transformers"

    def __init__(self, folder: str | Path, name: str | None = None, context: int | None = None):
        """Load `folder`. Raises CourseError where it is no model, or too large for the memory."""
        folder = Path(folder)
        base.refuse_too_large(folder.name, bytes_in_float32(folder))
        use_threads()
        self.model = name or folder.resolve().name
        self._model, self._tokenizer = models.load(folder)
        limit = self._model.config.max_position_embeddings
        self.context = min(context or base.CONTEXT, limit)
        self.vocabulary = len(self._tokenizer)
        tellers = (self._model.generation_config, self._model.config, self._tokenizer)
        told = [getattr(one, "eos_token_id", None) for one in tellers]  # a number, several or none
        self._ends = {e for end in told for e in (end if isinstance(end, list) else [end])} - {None}

    def _stream(self, request: base.Request) -> base.Stream:
        messages = [dict(message) for message in request.messages]
        rendered = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        prompt, prefilled = base.force_thinking(str(rendered), self.model)
        # silent: what is too long is said by `room`, in one sentence
        ids = self._tokenizer.encode(prompt, add_special_tokens=False, verbose=False)
        most = base.room(len(ids), self.context, request.max_tokens)
        return base.Stream(self._answer(ids, most, request), prefilled=prefilled)

    def _answer(self, ids: list[int], most: int, request: base.Request) -> base.Pieces:
        clock, count, finish = base.Clock(), 0, "length"
        decoder = DecodeStream(skip_special_tokens=True)
        stops = StopFilter(request.stop)
        for count, token in enumerate(self._tokens(ids, request), 1):
            if count == 1:
                clock.first_token()
            if token not in self._ends:
                # None as long as the bytes so far end within a character
                yield stops.feed(decoder.step(self._tokenizer.backend_tokenizer, token) or "")
            if token in self._ends or stops.stopped:
                finish = "stop"
                break
            if count == most:
                break
        yield stops.rest()
        yield base.Summary(self.kind, self.model, finish, len(ids), count, *clock.seconds())

    @torch.inference_mode()
    def _tokens(self, ids: list[int], request: base.Request) -> Iterator[int]:
        generator = torch.Generator(self._model.device)
        if request.seed is None:
            generator.seed()
        else:
            generator.manual_seed(request.seed)
        cache = None
        fed = torch.tensor([ids], device=self._model.device)
        while True:
            out = self._model(fed, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = out.past_key_values
            fed = pick(out.logits[0, -1], request.temperature, request.top_p, generator)[None]
            yield int(fed)


def pick(
    logits: torch.Tensor, temperature: float, top_p: float, generator: torch.Generator
) -> torch.Tensor:
    """One token, shape (1,), from `logits` (vocabulary,): the likeliest at temperature 0.

    Otherwise from the nucleus: the fewest likeliest tokens whose probabilities reach `top_p`.
    """
    if temperature == 0:
        return logits.argmax()[None]
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        ranked, order = probabilities.sort(descending=True)
        beyond = ranked.cumsum(0) - ranked >= top_p
        probabilities[order[beyond]] = 0
    return torch.multinomial(probabilities, 1, generator=generator)


class StopFilter:
    """Ends a stream of text at the stop text that is whole first, of several the longest.

    That is the same however the text is cut into pieces.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""  # the end of the text, as long as it may become a stop text
        self.stopped = False

    def feed(self, piece: str) -> str:
        """What can be shown after one more piece."""
        text = self._held + piece
        found = [(text.find(stop) + len(stop), -len(stop)) for stop in self._stops if stop in text]
        if found:
            self.stopped, self._held = True, ""
            return text[: sum(min(found))]
        keep = max((base.overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def rest(self) -> str:
        """What was held back, at the end."""
        return self._held
