// A router_lab policy loaded and decided with outside Python, from docs/artifact-format.md alone. Node's standard library.
//
//     node loader.mjs ARTIFACT [VECTORS.jsonl]
//
// Checks the manifest, then the artifact's golden.jsonl and the conformance vectors, and prints how many passed.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const BASE = 0x9e3779b1, SCALE = 0x85ebca6b, PAIR = 0x2c1b3c6d;
const DENSE = 13;

const sha256 = (data) => createHash("sha256").update(data).digest();

// --- files ---------------------------------------------------------------------------------------------------------

function load(directory) {
  const manifest = JSON.parse(readFileSync(join(directory, "MANIFEST.json")));
  const names = ["buckets.npy", "certificate.json", "golden.jsonl", "groups.npy", "policy.json", "weights.npy"];
  const files = {};
  let lines = "";
  for (const name of names) {
    const data = readFileSync(join(directory, name));
    const digest = sha256(data).toString("hex");
    if (manifest.files[name].sha256 !== digest || manifest.files[name].size !== data.length) throw Error(`${name}: tampered`);
    lines += `${digest} ${data.length} ${name}\n`;
    files[name] = data;
  }
  if (sha256(lines).toString("hex") !== manifest.revision) throw Error("MANIFEST.json: revision");
  const policy = JSON.parse(files["policy.json"]);
  if (![1, 2, 3, 4, 5, 6].includes(policy.schema_version) || policy.featuriser.name !== "words12-bytes13") throw Error("policy.json: version");
  return {
    ...policy,
    seen: new Map(array(files["buckets.npy"], "<u4").map((bucket, index) => [bucket, index + 1])),
    weights: array(files["weights.npy"], "|i1"),
    golden: files["golden.jsonl"].toString().trimEnd().split("\n").map((line) => JSON.parse(line)),
  };
}

function array(data, dtype) {
  const start = 10 + data.readUInt16LE(8);
  if (!data.subarray(10, start).toString().includes(`'${dtype}'`)) throw Error(`dtype is not ${dtype}`);
  const values = [];
  const width = dtype === "<u4" ? 4 : 1;
  for (let at = start; at < data.length; at += width) values.push(width === 4 ? data.readUInt32LE(at) : data.readInt8(at));
  return values;
}

// --- features ------------------------------------------------------------------------------------------------------

function capped(characters, cap) {
  if (characters.length <= cap) return characters;
  const tail = Math.floor(cap / 4);
  return [...characters.slice(0, cap - tail), " ", ...characters.slice(characters.length - tail)];
}

// UTF-8; a lone surrogate becomes "?".
const bytes = (characters) =>
  Buffer.from(characters.map((c) => (c.length === 1 && c >= "\ud800" && c <= "\udfff" ? "?" : c)).join(""), "utf8");

function kind(byte) {
  if (byte >= 0xe3 && byte <= 0xed) return 2;
  if (byte >= 128 || /[0-9A-Za-z]/.test(String.fromCharCode(byte))) return 1;
  return byte <= 32 || byte === 127 ? 0 : 3;
}

const CLASSES = [
  [2, "0123456789"], [3, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"], [4, " "], [5, "\n"], [6, ".,;:!?"], [7, "'\"`"], [8, "()[]{}"],
  [9, "+-*/=<>^%"],
];

function denseClass(byte) {
  const character = String.fromCharCode(byte);
  for (const [column, members] of CLASSES) if (byte < 128 && members.includes(character)) return column;
  if (byte >= 128) return 12;
  if (byte < 32 || byte === 127) return 11;
  return character >= "a" && character <= "z" ? 0 : 10;
}

function features(text, { buckets, cap }) {
  const characters = Array.from(text);
  const data = Buffer.concat([Buffer.from(" "), bytes(capped(characters, cap)), Buffer.from(" ")]);
  const counts = new Array(DENSE).fill(0);
  const words = [];
  let before = 0, power = BASE, total = 0;
  for (const byte of data) {
    counts[denseClass(byte)] += 1;
    const now = kind(byte);
    if (now !== before) {
      const hash = Math.imul(SCALE, total) >>> 0;
      if (before !== 0 && hash !== 0) words.push(hash);
      power = BASE; total = 0; before = now;
    }
    if (now === 0) continue;
    const lower = byte >= 65 && byte <= 90 ? byte + 32 : byte;
    total = (total + Math.imul(lower, power)) >>> 0;
    power = Math.imul(power, BASE) >>> 0;
  }
  counts[0] = Math.min(characters.length, 4 * cap);
  counts[1] = words.length;
  const hashes = [...words];
  for (let i = 1; i < words.length; i++) hashes.push((Math.imul(words[i - 1], PAIR) + words[i]) >>> 0);
  const shift = 32 - Math.log2(buckets);
  return { buckets: [...new Set(hashes.map((hash) => hash >>> shift))].sort((a, b) => a - b), counts };
}

const SPACES = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACE = new RegExp(`^[${SPACES}]`, "u");

// --- predictions ---------------------------------------------------------------------------------------------------

function log2ish(count) {
  const exponent = 31 - Math.clz32(count + 1);
  return exponent + ((count + 1) / 2 ** exponent - 1);
}

function roundHalfEven(x) {
  const low = Math.floor(x);
  if (x - low !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

// Whole numbers in units of 1/64 standard deviation; null where the vector is missing.
function standardised({ centre, spread }, given) {
  if (given.length !== centre.length) throw Error(`vector: ${given.length} numbers, not ${centre.length}`);
  if (!given.every(Number.isFinite)) return null;
  return given.map((number, j) => {
    const near = Math.min(Math.max(number, centre[j] - spread[j] * 8), centre[j] + spread[j] * 8);
    return roundHalfEven(((near - centre[j]) / spread[j]) * 64);
  });
}

// Where there is a guard: of every candidate the least that the whole text or its head says for it beside the reference,
// the head with biases of its own and some slack, where it has them.
function predict(policy, text, suite, given) {
  const { bias } = policy.linear, { suffix_guard: words = 0, heads = { bias, slack: 0 }, reference: own } = policy;
  const whole = predicted(policy, text, suite, given, bias);
  if (!words) return whole;
  const begun = predicted(policy, head(text, words), suite, given, heads.bias);
  const beside = (name) => whole[name].map((value, j) => [value, begun[name][j], whole[name][own], begun[name][own]]);
  return {
    ...whole,
    quality: beside("quality").map(([a, b, x, y]) => x + Math.min(a - x, b - y + heads.slack)),
    cost: beside("cost").map(([a, b, x, y]) => x - Math.min(x - a, y - b)),
    coverage: Math.min(whole.coverage, begun.coverage),
  };
}

function head(text, words) {
  const parts = text.match(new RegExp(`[^${SPACES}]+|[${SPACES}]+`, "gu")) ?? [];
  const places = [...parts.keys()].filter((i) => !SPACE.test(parts[i])), last = places.length - words - 1;
  return last < 0 ? "" : parts.slice(0, places[last] + 1).join("");
}

function predicted(policy, text, suite, given, biases) {
  const { linear, featuriser, vector } = policy;
  if (given && !vector) throw Error("vector: this policy was fitted without");
  const found = features(text, featuriser);
  const columns = policy.candidates.length, width = 2 * columns;
  const z = found.counts.map((count, j) => {
    const scaled = roundHalfEven(((log2ish(count) - featuriser.centre[j]) / featuriser.spread[j]) * 64);
    return Math.min(featuriser.greatest?.[j] ?? 512, Math.max(featuriser.least?.[j] ?? -512, scaled));
  });
  const rows = found.buckets.map((bucket) => policy.seen.get(bucket) ?? 0);
  const size = rows.length || 1;
  const root = Math.sqrt(size);
  const bias = biases[policy.suites.indexOf(suite) + 1];
  const units = given ? standardised(vector, given) : null;
  const first = (policy.seen.size + 1) * width;  // the vector's weights come after those of the buckets
  const quality = [], cost = [];
  for (let column = 0; column < width; column++) {
    let sum = 0, dense = 0;
    for (const row of rows) sum += policy.weights[row * width + column];
    for (let j = 0; j < DENSE; j++) dense += z[j] * linear.dense[j][column];
    let value = (sum * linear.scale[column]) / root + dense * linear.dense_scale[column];
    if (units) {
      let added = 0;
      units.forEach((unit, j) => { added += unit * policy.weights[first + j * width + column]; });
      value += added * vector.scale[column];
    }
    value += bias[column];
    if (column < columns) {
      quality.push(Math.min(1, Math.max(0, value)));
      continue;
    }
    const toLink = (dollars) => (linear.cost_link === "identity" ? dollars : linkOf(dollars * 1e9));
    const [least, most] = linear.cost_bounds.map((row) => toLink(row[column - columns]));
    const bounded = Math.min(most, Math.max(least, value));
    const whole = Math.floor(bounded);
    cost.push(linear.cost_link === "identity" ? bounded : ((1 + (bounded - whole)) * 2 ** whole - 1) * 1e-9);
  }
  const seen = units && rows.length === 0 ? 1 : rows.filter((row) => row !== 0).length;
  return { ...found, quality, cost, coverage: seen / size };
}

function linkOf(x) {
  const exponent = Math.floor(Math.log2(x + 1));
  return exponent + ((x + 1) / 2 ** exponent - 1);
}

// --- decisions -----------------------------------------------------------------------------------------------------

function draw(key) {
  const digest = sha256(Buffer.concat([Buffer.from("mix:"), bytes(Array.from(key))]));
  return Number(digest.readBigUInt64BE(0) >> 11n) * 2 ** -53;
}

// Versions 1 and 2 have a point of one piece, which follows predictions.
function pieces(policy, point) {
  const found = policy.points[point];
  return policy.schema_version > 2 ? found : [{ tradeoff: found[0], guard: found[1], share: found[2] }];
}

// Who may serve a suite on a day, and who stands in the reference's place; `on` undefined: before anybody retires.
function standing(policy, suite, on) {
  const { reference, successor, fallbacks, allowed, retires } = policy;
  const gone = (i) => on != null && retires?.[i] != null && retires[i] <= on;
  const listed = Object.hasOwn(allowed ?? {}, suite) ? allowed[suite] : null;
  const head = successor == null ? [reference] : [reference, successor];
  const order = !listed ? [...head, ...fallbacks]
    : [...(listed.includes(reference) ? head.filter((i) => listed.includes(i)) : []), ...listed];
  const place = order.find((i) => !gone(i));
  return { gone, place, moved: place !== order[0], open: (i) => (!listed || listed.includes(i)) && !gone(i) };
}

function greedy(policy, found, suite, point, at, stand) {
  const [index, code, place] = choose(policy, found, suite, point, at, stand);
  const own = ["reference", "mixed", "uncovered"].includes(code) && index === stand.place;
  return [index, stand.moved && own ? "retired" : code, place];
}

// Who serves, and the probability of that over all keys.
function drawn(policy, found, suite, name, key, stand) {
  const point = pieces(policy, name), share = policy.explore?.[name] ?? 0;
  const eligible = policy.eligible?.[policy.suites.indexOf(suite) + 1];
  const may = policy.candidates.map((_, i) => i)
    .filter((i) => i === stand.place || (stand.open(i) && (eligible?.[i] ?? 1)));
  const digest = sha256(Buffer.concat([Buffer.from("explore:"), bytes(Array.from(key))]));
  const picked = may[Number((digest.readBigUInt64BE(8) * BigInt(may.length)) >> 64n)];
  const explores = Number(digest.readBigUInt64BE(0) >> 11n) * 2 ** -53 < share;
  const chosen = explores ? [picked, "explored"] : greedy(policy, found, suite, point, () => draw(key), stand);
  const odds = policy.candidates.map(() => 0), each = share / may.length;  // 0 where nothing is explored
  let begin = 0;
  for (const end of [...endsOf(point), 1]) {
    if (end > begin) odds[greedy(policy, found, suite, point, () => (begin + end) / 2, stand)[0]] += end - begin;
    begin = end;
  }
  if (odds.filter((chance) => chance > 0).length === 1) odds[odds.findIndex((chance) => chance > 0)] = 1;
  for (const i of odds.keys()) odds[i] *= 1 - each * may.length;
  for (const i of may) odds[i] += each;
  return [chosen[0], chosen[1], chosen[2], odds[chosen[0]]];
}

function endsOf(point) {
  const ends = [];
  for (const { share } of point) ends.push(Math.min(1, (ends.at(-1) ?? 0) + share));
  if (ends.at(-1) >= 1 - 1e-9) ends[ends.length - 1] = 1;
  return ends;
}

function choose(policy, found, suite, point, draw, stand) {
  const reference = stand.place, own = (column) => (column === policy.reference ? reference : column);
  const row = policy.suites.indexOf(suite) + 1;
  const covered = found.coverage >= (row ? policy.coverage : policy.coverage_unknown ?? policy.coverage);
  const assigned = (piece) => piece.table || piece.chains;
  const follows = point.some((piece) => !assigned(piece)), assigns = point.some(assigned);
  const route = policy.routes[suite]?.[1] === "pass" ? own(policy.routes[suite][0]) : null;
  const routed = route === null ? [reference, "uncovered"] : stand.open(route) ? [route, "table"] : [reference, "retired"];
  if (!covered && (!row || !assigns)) return routed;
  const outcome = (piece) => {
    const named = piece.table ? piece.table[row] : piece.chains?.[row] == null ? policy.reference : null;
    if (assigned(piece) && named === policy.reference) return [reference, stand.moved ? "retired" : "assigned"];
    if (piece.table) return stand.open(named) ? [named, "assigned"] : [reference, "retired"];
    if (piece.chains) {
      const chain = policy.chains[piece.chains[row]];
      const at = chain.findIndex((stage) => stand.open(stage.column));
      if (at < 0) return [reference, "retired"];
      return [chain[at].column, "chained", { chain, at, tradeoff: piece.tradeoff, before: null }];
    }
    if (!covered) return routed;
    const may = policy.eligible?.[row];
    const utility = found.quality.map((quality, i) =>
      i !== reference && ((may && !may[i]) || !stand.open(i)) ? -Infinity : quality - piece.tradeoff * found.cost[i]);
    const best = utility.indexOf(Math.max(...utility));
    return best !== reference && utility[best] - utility[reference] > piece.guard ? [best, "predicted"] : [reference, "reference"];
  };
  const u = draw();
  let end = 0;
  for (const [number, piece] of point.entries()) {
    end += piece.share;
    if (number === point.length - 1 && end >= 1 - 1e-9) end = 1;
    if (u < end) return outcome(piece);
  }
  if (!covered && follows) return routed;
  const moved = point.map(outcome).some(([index, code]) => index !== reference || code === "chained");
  return [reference, moved ? "mixed" : follows || stand.moved ? "reference" : "assigned"];
}

// Fields of a candidate, as they stand in golden.jsonl: a harness only where there is one.
const named = ({ model, effort, harness }) => (harness == null ? { model, effort } : { model, effort, harness });

function decide(policy, { prompt, suite, point, key, vector, on }) {
  const found = predict(policy, prompt, suite, vector), stand = standing(policy, suite, on);
  const [index, code, place, odds] = drawn(policy, found, suite, point, key, stand);
  const listed = (i) => Object.values(named(policy.candidates[i]));
  const row = policy.suites.indexOf(suite) + 1;
  const fallbacks = policy.fallbacks.filter((i) => i !== index && stand.open(i)).map(listed);
  return {
    ...found, who: named(policy.candidates[index]), code, index, fallbacks, row, tried: [], place: place ?? null,
    propensity: odds ?? 1, open: stand.open,
  };
}

// --- chains --------------------------------------------------------------------------------------------------------

const ANSWER = ["length", "words", "lines", "digits", "brackets", "refusal"];
const REFUSALS = ["i cannot", "i can't", "i can not", "i won't", "i will not", "i'm sorry", "i am sorry", "i'm unable",
  "i am unable", "i'm not able", "i am not able", "i apologize", "i apologise", "as an ai", "unable to answer",
  "unable to help"];
const latin = (characters) => bytes(characters).toString("latin1");  // a character for each byte
const lower = (text) => text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());

function answerFeatures(answer) {
  const characters = Array.from(answer), text = latin(capped(characters, 4096));
  const count = (pattern) => log2ish(text.match(pattern)?.length ?? 0);
  const beginning = lower(latin(characters.slice(0, 256)).slice(0, 256).replaceAll("\xe2\x80\x99", "'"));
  return [log2ish(Math.min(characters.length, 2 ** 20 - 1)), count(/[0-9A-Za-z\x80-\xff]+/g), count(/\n/g),
    count(/[0-9]/g), count(/[()[\]{}]/g), REFUSALS.some((phrase) => beginning.includes(phrase)) ? 1 : 0];
}

const said = (answer) => lower(latin(capped(Array.from(answer), 4096))).replace(/[^0-9a-z\x80-\xff]/g, "");

function height(knots, heights, value) {
  if (!(value > knots[0])) return heights[0];
  if (value >= knots.at(-1)) return heights.at(-1);
  const i = knots.findLastIndex((knot) => knot <= value);
  return heights[i] + (heights[i + 1] - heights[i]) * ((value - knots[i]) / (knots[i + 1] - knots[i]));
}

// What each later stage is expected to add; null where something that is needed is not known.
function gainsOf(policy, now, judge, answer, signals) {
  const told = Object.fromEntries(answerFeatures(answer).map((value, i) => [`answer:${ANSWER[i]}`, value]));
  const own = said(answer);
  told.agrees = own !== "" && own === now.place.before ? 1 : 0;
  now.quality.forEach((value, column) => { told[`quality:${column}`] = value; });
  if (!judge.signals.every((name) => Number.isFinite(signals[name]))) return null;
  for (const name of judge.signals) told[`signal:${name}`] = signals[name];
  const row = judge.rows ? judge.rows[now.row] : now.row;  // suites may share one
  const gains = [...judge.bias[row]];
  for (const { source, knots, heights } of judge.terms)
    heights[row].forEach((own, stage) => { gains[stage] += height(knots, own, told[source]); });
  return gains;
}

// The decision after an answer, or null: it is kept, or nobody is left; and the gains that were looked at.
function judged(policy, now, { answer, signals, check, stopped }) {
  const gone = [...now.tried, now.index], forced = check === false || stopped === "limit";
  const moved = (index, code, place) => {
    return { ...now, index, code, who: named(policy.candidates[index]), place, tried: gone };
  };
  const { chain, at } = now.place ?? { chain: [], at: 0 };
  const later = chain.slice(at + 1).map((stage) => stage.column);
  const judge = chain.length && chain[at].judge !== null ? policy.judges[chain[at].judge] : null;
  const gains = judge && !forced ? gainsOf(policy, now, judge, answer, signals) : null;
  let next = -1;
  if (forced || (judge && !gains)) next = later.findIndex(now.open);
  else if (gains) {
    const utilities = gains.map((gain, stage) =>
      now.open(later[stage]) ? gain - now.place.tradeoff * now.cost[later[stage]] : -Infinity);
    const best = utilities.indexOf(Math.max(...utilities));
    if (utilities[best] > 0) next = best;
  }
  if (next >= 0) return [gains, moved(later[next], "escalated", { ...now.place, at: at + 1 + next, before: said(answer) })];
  if (check !== false || stopped === "limit") return [gains, null];
  const order = policy.escalation, left = (columns) => columns.filter((column) => !gone.includes(column) && now.open(column));
  const measured = left(order.slice(order.indexOf(now.index) + 1)), rest = left(policy.fallbacks);
  if (measured.length) return [gains, moved(measured[0], "escalated", null)];
  return [gains, rest.length ? moved(rest[0], "unmeasured", null) : null];
}

const sorted = (row) => Object.fromEntries(Object.keys(row).sort().map((key) => [key, row[key]]));

function walk(policy, made, { answers, signals, checks, stopped }) {
  const found = [];
  for (let stage = 0, now = made; now && stage < answers.length; stage++) {
    const { who, code } = now;
    const told = { answer: answers[stage], signals, check: checks?.[stage], stopped: stopped?.[stage] };
    const [gains, next] = judged(policy, now, told);
    found.push(sorted({ code, gains, ...who }));
    now = next;
  }
  return found;
}

// --- conformance ---------------------------------------------------------------------------------------------------

const [directory, vectors] = process.argv.slice(2);
const policy = load(directory);
let passed = 0, failed = 0;
const check = (where, have, want) => {
  if (JSON.stringify(have) === JSON.stringify(want)) { passed += 1; return; }
  failed += 1;
  console.error(`${where}: ${JSON.stringify(have)} is not ${JSON.stringify(want)}`.slice(0, 400));
};
// The part that a cap leaves of what is predicted of a run.
const left = ({ place, row }, name) => {
  const known = place?.chain[place.at].under_cap;
  return known?.[name][known.rows.indexOf(row)] ?? 1;
};
policy.golden.forEach((row, number) => {
  const made = decide(policy, row);
  const have = { ...made.who, code: made.code, quality: made.quality[made.index] * left(made, "quality"),
    cost_usd: made.cost[made.index] * left(made, "cost_usd"), coverage: made.coverage, fallbacks: made.fallbacks };
  if (policy.explore) have.propensity = made.propensity;
  if (policy.chains) have.judged = walk(policy, made, row);
  const want = Object.fromEntries(Object.keys(have).map((name) => [name, row[name]]));
  check(`golden.jsonl ${number + 1}`, have, want);
});
const rows = vectors ? readFileSync(vectors, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line)) : [];
rows.forEach((row, number) => {
  const made = decide(policy, row);
  for (const [name, value] of [["buckets", made.buckets], ["counts", made.counts], ["coverage", made.coverage],
    ["quality", made.quality], ["cost_usd", made.cost], ...Object.entries(made.who),
    ["code", made.code], ["fallbacks", made.fallbacks],
    ...(policy.explore ? [["propensity", made.propensity]] : [])]) check(`vector ${number + 1} ${name}`, value, row[name]);
  if (!policy.chains) return;
  check(`vector ${number + 1} features`, row.answers.map(answerFeatures), row.features);
  check(`vector ${number + 1} judged`, walk(policy, made, row), row.judged);
});
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
