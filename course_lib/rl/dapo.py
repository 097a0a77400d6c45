"""What DAPO adds to GRPO (Yu et al., arXiv 2503.14476) beside the clip and the mean in `grpo`."""

from dataclasses import dataclass, replace

from course_lib.rl.experience import Experience, groups
from course_lib.rl.learner import Learner


@dataclass
class DynamicSampling(Learner):
    """GRPO on groups that teach only: DAPO's dynamic sampling (arXiv 2503.14476, section 3.2).

    More puzzles are put than are learnt from. Groups whose answers are all right or all wrong are
    dropped, whatever their length was punished with, and others stand in their place, so that every
    update is a mean over as many groups as without: two of three that were put (of one, the one).
    (DAPO samples on until there are enough; here a step whose spare groups run out has fewer.)
    """

    def update(self, experience: Experience) -> dict[str, float]:
        """Learn from the first groups that teach; as `Learner.update`."""
        outcome = experience.rewards if experience.outcome is None else experience.outcome
        teaching = (outcome != outcome[:, :1]).any(1).nonzero().squeeze(1)
        if len(teaching):
            wanted = max(1, len(experience.rewards) * 2 // 3)
            experience = groups(experience, teaching[:wanted].tolist())
        else:  # nobody's length teaches either
            experience = replace(experience, rewards=outcome)
        return super().update(experience)
