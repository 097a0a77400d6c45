// GRPO's step by hand, for the answers of one group: as `course_lib/rl/grpo.py` does it.

/**
 * Rewards' mean and standard deviation (of the sample), and each answer's advantage: `reward - mean`
 * as this course and Dr. GRPO have it, and `(reward - mean) / (std + 1e-4)` as DeepSeekMath.
 */
function advantages(rewards) {
  const mean = rewards.reduce((sum, r) => sum + r, 0) / rewards.length;
  const squares = rewards.reduce((sum, r) => sum + (r - mean) ** 2, 0);
  const std = Math.sqrt(squares / (rewards.length - 1));
  const equal = rewards.every((r) => r === rewards[0]);
  const plain = rewards.map((r) => (equal ? 0 : r - mean));
  return { mean, std, plain, divided: plain.map((a) => a / (std + 1e-4)) };
}

/**
 * What one step does to the logits of the first token, which all answers of the group share.
 *
 * The policy has not moved since it sampled, so every ratio is 1 and nothing is clipped; minus the
 * loss's gradient at a logit is then the mean over answers of advantage * (1 if the answer began with
 * that token, else 0, minus its probability) over the temperature, but for the one number that Dr.
 * GRPO divides by.
 * Returns a line for each of the tokens `shown`: how many answers began so, the sum of their
 * advantages, the push, and the probability after a step of the size `step` on these logits alone.
 */
function firstTokenPush(logits, temperature, firsts, given, shown, step) {
  const before = softmax(logits, temperature);
  const total = given.reduce((sum, a) => sum + a, 0);
  const begun = (id) => given.filter((_, i) => firsts[i] === id);
  const sums = Float64Array.from(before, (_, id) => begun(id).reduce((sum, a) => sum + a, 0));
  const pushes = sums.map((sum, id) => (sum - total * before[id]) / given.length / temperature);
  const after = softmax(Float64Array.from(logits, (logit, id) => logit + step * pushes[id]), temperature);
  return shown.map((id) => ({
    id, before: before[id], count: begun(id).length, sum: sums[id], push: pushes[id], after: after[id],
  }));
}
