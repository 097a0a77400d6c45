// The page `live.html`: its models lie beside it as scripts, since a page opened from a folder may
// not fetch files. `window.insideR1.answer` is for who embeds or tests the page.

// The theme that was chosen on the site's other pages.
const chosenMode = (() => { try { return localStorage.getItem("mode"); } catch { return ""; } })();
if (["light", "dark"].includes(chosenMode)) document.documentElement.style.colorScheme = chosenMode;

const OFFERS = JSON.parse(document.getElementById("live-models").textContent);
const received = new Map(); // name -> the promise of a Model
const arrived = new Map(); // name -> [header, base64], between a script's run and its load event

function bytesOf(base64) {
  const letters = atob(base64);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** The model of that name; a promise that fails with an Error of one sentence. */
function load(name) {
  if (!OFFERS.some((offer) => offer.name === name)) {
    const names = OFFERS.map((offer) => offer.name).join(", ");
    return Promise.reject(new Error(`There is no model “${String(name).slice(0, 40)}” here; there are ${names}.`));
  }
  if (!received.has(name)) {
    const coming = new Promise((take, refuse) => {
      const damaged = `The file of the model ${name} is damaged or cut short; build or copy the site again.`;
      const script = make("script", {
        src: `assets/live/${name}.js`,
        onerror: () => refuse(new Error(`The file of the model ${name} is missing; build or copy the site again.`)),
        onload: () => {
          try {
            const [header, base64] = arrived.get(name) ?? [];
            if (!header) throw new Error(damaged);
            take(new Model(header, bytesOf(base64)));
          } catch (error) {
            refuse(error instanceof DOMException ? new Error(damaged) : error);
          }
          arrived.delete(name);
        },
      });
      document.head.append(script);
    });
    coming.catch(() => received.delete(name)); // so that asking again tries again
    received.set(name, coming);
  }
  return received.get(name);
}

/** The text a model answers a puzzle with; `seed` makes an answer at a temperature repeatable. */
async function answer(puzzle, { model = "r1-zero", temperature = 0, seed = null } = {}) {
  if (!(temperature >= 0 && temperature <= 5)) throw new Error(`The temperature is ${temperature}; allowed is 0 to 5.`);
  const asked = parsePuzzle(String(puzzle));
  const random = seed === null ? Math.random : randomFrom(seed);
  const writing = new Writing(await load(model), asked, { temperature, random });
  while (!writing.done) writing.step();
  return writing.text;
}

window.insideR1 = Object.freeze({
  answer, load, models: OFFERS.map((offer) => offer.name),
  receive: (name, header, base64) => arrived.set(name, [header, base64]),
  puzzle: Object.freeze({ parse: parsePuzzle, reward, solutions, verdict }),
});

const offers = OFFERS.map((offer) => ({ ...offer, load: () => load(offer.name) }));
const named = (name) => offers.findIndex((offer) => offer.name === name);
new Explorer(document.getElementById("live"), offers, { first: named("base"), second: named("r1-zero") });
for (const name of ["base", "r1-zero"]) load(name).catch(() => {}); // told when it is asked for
