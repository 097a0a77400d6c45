// The puzzle and its verifier, as `course_lib/task/puzzles.py` has them; a test holds both together.

const PUZZLE = /^[ \t-\r]*([1-9](?:[ \t-\r]*\?[ \t-\r]*[1-9]){1,7})[ \t-\r]*=[ \t-\r]*([0-9]{1,2})[ \t-\r]*$/;
const ANSWER = /^[ \t\r\n]*([+-](?:[ \n]*[+-])*)[ \t\r\n]*$/;
const BLANKS = /^[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;
const [OPEN, CLOSE] = ["<think>", "</think>"];

/** Wide signs, and a web page's blanks, as ASCII has them. */
function plain(text) {
  return text.replace(/[\uff01-\uff5e]/g, (wide) => String.fromCharCode(wide.charCodeAt(0) - 0xfee0))
    .replace(/[\xa0\u2000-\u200a\u202f\u205f\u3000]/g, " ");
}

/** `7 ? 3 = 4` as `{numbers, target}`; throws an Error with one sentence for anything else. */
function parsePuzzle(text) {
  const match = text.length < 200 ? PUZZLE.exec(plain(text)) : null;
  if (!match) {
    const shown = text.length < 60 ? text : `${text.slice(0, 57)}...`;
    throw new Error(
      `“${shown}” is not a puzzle; write digits 1 to 9 with ? between them and a target from 0 to ` +
      "99, like 7 ? 3 ? 5 ? 2 = 11.");
  }
  return { numbers: match[1].match(/[1-9]/g).map(Number), target: Number(match[2]) };
}

/** The puzzle as the models know it, spaces and all. */
function puzzleText({ numbers, target }) {
  return `${numbers.join(" ? ")} = ${target}`;
}

function total(numbers, signs) {
  return signs.reduce((sum, sign, i) => sum + (sign === "+" ? 1 : -1) * numbers[i + 1], numbers[0]);
}

/** Every choice of signs that reaches the target. */
function solutions({ numbers, target }) {
  const gaps = numbers.length - 1;
  const choices = Array.from({ length: 2 ** gaps }, (_, n) =>
    Array.from({ length: gaps }, (_, i) => (n >> (gaps - 1 - i)) & 1 ? "-" : "+"));
  return choices.filter((signs) => total(numbers, signs) === target);
}

function occurrences(text, part) {
  return text.split(part).length - 1;
}

/** The signs a completion answers with, or null where it is not exactly one answer. */
function answerOf(completion) {
  if (occurrences(completion, CLOSE) > 1) return null;
  const at = completion.lastIndexOf(CLOSE);
  const thought = at < 0 ? "" : completion.slice(0, at);
  const rest = at < 0 ? completion : completion.slice(at + CLOSE.length);
  const mayOpen = thought.replace(BLANKS, "").startsWith(OPEN) ? 1 : 0;
  if (rest.length > 20000 || rest.includes(OPEN) || occurrences(thought, OPEN) > mayOpen) return null;
  const match = ANSWER.exec(rest);
  return match ? match[1].match(/[+-]/g) : null;
}

/** 1 if the completion's answer reaches the target, else 0; its thinking is not judged. */
function reward(puzzle, completion) {
  const signs = answerOf(completion);
  const fits = signs && signs.length === puzzle.numbers.length - 1;
  return fits && total(puzzle.numbers, signs) === puzzle.target ? 1 : 0;
}

/** The verifier's finding in words. */
function verdict(puzzle, completion) {
  const signs = answerOf(completion);
  const gaps = puzzle.numbers.length - 1;
  if (!signs) return "No answer: the verifier wants a sign for every gap after the thought, and nothing else.";
  if (signs.length !== gaps) {
    return `Wrong: ${signs.length} sign${signs.length === 1 ? "" : "s"} for ${gaps} gap${gaps === 1 ? "" : "s"}.`;
  }
  const sum = total(puzzle.numbers, signs);
  const worked = puzzle.numbers.map((n, i) => (i ? `${signs[i - 1]} ${n}` : n)).join(" ");
  return sum === puzzle.target
    ? `Right: ${worked} = ${sum}.`
    : `Wrong: ${worked} = ${sum}, not ${puzzle.target}.`;
}

let crcTable = null;

/** CRC-32 of bytes, as zlib counts it. */
function crc32(bytes) {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  let crc = -1;
  for (const byte of bytes) crc = crcTable[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** A puzzle that no model was trained on (the held-out tenth), with exactly one solution. */
function drawPuzzle(random, size = 4) {
  for (;;) {
    const numbers = Array.from({ length: size }, () => 1 + Math.floor(9 * random()));
    const signs = Array.from({ length: size - 1 }, () => (random() < 0.5 ? "+" : "-"));
    const puzzle = { numbers, target: total(numbers, signs) };
    if (crc32(numbers) % 10 === 0 && puzzle.target >= 0 && solutions(puzzle).length === 1) return puzzle;
  }
}

/** Uniform numbers in [0, 1) that a whole number `seed` decides (mulberry32). */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
