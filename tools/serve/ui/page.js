// The page of `lull serve`: what the router says of itself, live. What comes from the router is put
// in as text, never as HTML.
"use strict";

const byId = (id) => document.getElementById(id);

/** An element with a class, a text, and children. */
function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** Changes a text only where it is another, so that nothing flickers and no reader is interrupted. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function bytesText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let count = Math.max(0, Number(bytes) || 0);
  while (count >= 1023.995 && unit + 1 < units.length) {
    count /= 1024;
    ++unit;
  }
  const digits = unit === 0 || count >= 100 ? 0 : count >= 10 ? 1 : 2;
  return `${Number(count.toFixed(digits))} ${units[unit]}`;
}

function spanText(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

const sum = (values) => values.reduce((total, value) => total + (Number(value) || 0), 0);

// ---- Colours -----------------------------------------------------------------------------------

const colourCount = 12;
const colourOf = new Map();  // of a model, in the order in which they were first seen

function colourIndex(model) {
  if (!colourOf.has(model)) colourOf.set(model, colourOf.size % colourCount);
  return colourOf.get(model);
}
const colourName = (model) => `var(--c${colourIndex(model)})`;

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const themes = ["system", "light", "dark"];

function stored(area, key) {
  try { return area.getItem(key); } catch { return null; }  // a browser may forbid it
}
function store(area, key, value) {
  try { value === null ? area.removeItem(key) : area.setItem(key, value); } catch { /* not kept */ }
}

let theme = themes.includes(stored(localStorage, "lull-theme")) ? stored(localStorage, "lull-theme") : "system";

function showTheme() {
  const isDark = theme === "dark" || (theme === "system" && systemIsDark.matches);
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  const words = { system: "as the system", light: "light", dark: "dark" }[theme];
  say(byId("theme"), { system: "◐ Auto", light: "☀ Light", dark: "☾ Dark" }[theme]);
  byId("theme").setAttribute("aria-label", `Colours: ${words}`);
  for (const view of deviceViews.values()) view.draw();
}

// ---- What was seen -----------------------------------------------------------------------------

const keptMilliseconds = 3600e3;
const state = { now: null, receivedAt: 0, live: false, shownSeconds: 120 };
const samples = [];  // {at, devices: {name: {foreign, models: {name: bytes}}}}, one a second

/** The router's clock, as far as it is known here. */
const routerNow = () => state.now.time_ms + (performance.now() - state.receivedAt);

function keepSample() {
  if (!state.now || !state.live) return;
  const devices = {};
  for (const device of state.now.devices) {
    devices[device.name] = { foreign: device.foreign_bytes, models: device.by_model };
  }
  const at = routerNow();
  samples.push({ at, devices });
  while (samples.length && samples[0].at < at - keptMilliseconds) samples.shift();
}

// ---- Devices -----------------------------------------------------------------------------------

const deviceViews = new Map();

class DeviceView {
  constructor(name) {
    this.name = name;
    this.title = make("h3", "");
    this.use = make("p", "device-use");
    this.canvas = make("canvas", "");
    this.canvas.setAttribute("role", "img");
    this.tip = make("div", "tip");
    this.tip.hidden = true;
    this.chart = make("div", "chart", this.canvas, this.tip);
    this.start = make("span", "");
    const times = make("div", "chart-times", this.start, make("span", "", "now"));
    this.legend = make("ul", "legend");
    this.element = make("article", "device",
      make("div", "device-head", this.title, this.use), this.chart, times, this.legend);
    this.canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    new ResizeObserver(() => this.draw()).observe(this.chart);
  }

  show(device) {
    this.device = device;
    this.title.replaceChildren(device.name, make("small", "", device.uuid || ""));
    const used = Math.min(device.used_bytes, device.capacity_bytes);
    this.use.replaceChildren(make("strong", "", bytesText(used)), ` of ${bytesText(device.capacity_bytes)}`);
    this.showLegend(device);
    this.draw();
  }

  showLegend(device) {
    const item = (swatch, name, bytes) => make("li", "", swatch, make("b", "", name), bytesText(bytes));
    const rows = Object.entries(device.by_model).filter(([, bytes]) => bytes > 0)
      .map(([model, bytes]) => {
        const swatch = make("span", "swatch");
        swatch.style.background = colourName(model);
        return item(swatch, model, bytes);
      });
    if (device.foreign_bytes > 0) rows.push(item(make("span", "swatch foreign"), "others", device.foreign_bytes));
    const free = Math.max(0, device.capacity_bytes - device.used_bytes);
    rows.push(item(make("span", "swatch free"), "free", free));
    const words = rows.map((row) => row.textContent).join(", ");
    if (this.words === words) return;
    this.words = words;
    this.legend.replaceChildren(...rows);
    this.canvas.setAttribute("aria-label", `Memory of ${device.name} over time; now: ${words}`);
  }

  /** The bars that there is room for: in each the moment at which most was in use. */
  bars(width) {
    const barWidth = 6;
    const count = Math.max(1, Math.floor(width / barWidth));
    const step = state.shownSeconds * 1000 / count;
    const bars = new Array(count).fill(null);
    const end = Math.ceil(routerNow() / step) * step;
    for (let i = samples.length - 1; i >= 0; --i) {
      const place = count - 1 - Math.floor((end - samples[i].at) / step);
      if (place < 0) break;
      const seen = samples[i].devices[this.name];
      if (!seen) continue;
      const total = seen.foreign + sum(Object.values(seen.models));
      if (!bars[place] || bars[place].total < total) bars[place] = { ...seen, total, at: samples[i].at };
    }
    return { bars, barWidth };
  }

  draw() {
    if (!this.device || !state.now) return;
    const width = this.canvas.clientWidth;
    const height = this.canvas.clientHeight;
    if (!width || !height) return;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const { capacity_bytes: capacity, margin_bytes: margin } = this.device;
    const toHeight = (bytes) => capacity > 0 ? Math.min(1, bytes / capacity) * height : 0;

    const { bars, barWidth } = this.bars(width);
    const left = width - bars.length * barWidth;
    bars.forEach((bar, index) => {
      const x = left + index * barWidth;
      pen.fillStyle = colour("--track");
      pen.fillRect(x, 0, barWidth - 1.5, height);
      if (bar) this.drawBar(pen, bar, x, barWidth - 1.5, height, toHeight, colour);
    });
    // Above the line is the margin, which models leave free.
    const line = Math.round(toHeight(margin)) + 0.5;
    pen.strokeStyle = colour("--bad");
    pen.globalAlpha = 0.7;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    pen.moveTo(0, line);
    pen.lineTo(width, line);
    pen.stroke();
    pen.globalAlpha = 1;
    say(this.start, `${spanText(state.shownSeconds * 1000).replace(/ 0 (s|min)$/, "")} ago`);
  }

  drawBar(pen, bar, x, width, height, toHeight, colour) {
    let top = height;
    const put = (bytes, fill) => {
      const tall = toHeight(bytes);
      if (tall <= 0) return;
      pen.fillStyle = fill;
      pen.fillRect(x, top - tall, width, tall);
      top -= tall;
    };
    put(bar.foreign, colour("--foreign"));
    for (const model of [...colourOf.keys()]) {
      if (bar.models[model] > 0) put(bar.models[model], colour(`--c${colourIndex(model)}`));
    }
  }

  point(x) {
    const width = this.canvas.clientWidth;
    const { bars, barWidth } = this.bars(width);
    const bar = bars[Math.floor((x - (width - bars.length * barWidth)) / barWidth)];
    this.tip.hidden = !bar;
    if (!bar) return;
    const row = (name, bytes) => make("div", "", make("span", "", name), make("span", "", bytesText(bytes)));
    const rows = Object.entries(bar.models).filter(([, bytes]) => bytes > 0).map(([name, bytes]) => row(name, bytes));
    if (bar.foreign > 0) rows.push(row("others", bar.foreign));
    this.tip.replaceChildren(make("div", "", `${spanText(routerNow() - bar.at)} ago`), ...rows);
    const room = width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, x + 12))}px`;
  }
}

function showDevices(devices) {
  const there = new Set(devices.map((device) => device.name));
  for (const [name, view] of deviceViews) {
    if (there.has(name)) continue;
    view.element.remove();
    deviceViews.delete(name);
  }
  for (const device of devices) {
    if (!deviceViews.has(device.name)) {
      deviceViews.set(device.name, new DeviceView(device.name));
      byId("devices").append(deviceViews.get(device.name).element);
    }
    deviceViews.get(device.name).show(device);
  }
  byId("no-devices").hidden = devices.length > 0;
}

// ---- Models ------------------------------------------------------------------------------------

const stateWords = {
  stopped: "stopped", starting: "starting", ready: "ready", asleep: "asleep", leaving: "leaving", failed: "failed",
};

class ModelView {
  constructor(name) {
    this.name = name;
    this.swatch = make("span", "swatch");
    this.swatch.style.background = colourName(name);
    this.process = make("small", "");
    const title = make("div", "", make("h3", "", name), this.process);
    this.stateText = make("span", "");
    this.badge = make("span", "badge", make("span", "dot"), this.stateText);
    this.holdsText = make("div", "");
    this.meterFill = make("span", "");
    this.meterFill.style.background = colourName(name);
    this.holds = make("div", "holds", this.holdsText, make("div", "meter", this.meterFill));
    this.counts = make("div", "counts");
    this.buttons = {};
    const actions = make("div", "actions");
    for (const [action, words] of [["load", "Load"], ["sleep", "Sleep"], ["stop", "Stop"], ["pin", "Pin"]]) {
      const button = make("button", "", words);
      button.type = "button";
      button.dataset.action = action;
      button.setAttribute("aria-label", `${words} ${name}`);
      button.addEventListener("click", () => this.act(action, button));
      this.buttons[action] = button;
      actions.append(button);
    }
    this.failure = make("p", "failure");
    this.failure.hidden = true;
    this.element = make("li", "model",
      make("div", "model-name", this.swatch, title), this.badge, this.holds, this.counts, actions, this.failure);
    this.element.dataset.model = name;
  }

  async act(action, button) {
    const path = action === "pin" && this.model.pinned ? "unpin" : action;
    button.setAttribute("aria-busy", "true");
    await send(this.name, path);
    button.removeAttribute("aria-busy");
  }

  show(model) {
    this.model = model;
    const known = stateWords[model.state] ?? String(model.state);
    this.badge.dataset.state = model.state;
    say(this.stateText, model.state === "asleep" && model.level ? `asleep: ${model.level}` : known);
    say(this.process, model.pid ? `process ${model.pid}` : "no process");
    this.showHolds(model);
    this.counts.replaceChildren(make("b", "", String(model.active)), " active, ",
      make("b", "", String(model.waiting)), " waiting");
    this.buttons.load.disabled = !["stopped", "asleep", "failed"].includes(model.state);
    this.buttons.sleep.disabled = model.state !== "ready" || model.pinned;
    this.buttons.stop.disabled = ["stopped", "failed"].includes(model.state);
    this.buttons.pin.setAttribute("aria-pressed", String(Boolean(model.pinned)));
    say(this.buttons.pin, model.pinned ? "Pinned" : "Pin");
    this.failure.hidden = !model.last_error;
    say(this.failure, model.last_error || "");
  }

  showHolds(model) {
    const devices = [...new Set([...Object.keys(model.estimate), ...Object.keys(model.holds)])].sort();
    const parts = [];
    for (const device of devices) {
      const holds = model.holds[device] ?? 0;
      const awake = model.estimate[device] ?? 0;
      if (!holds && !awake) continue;
      const isWhole = !awake || bytesText(holds) === bytesText(awake);
      if (parts.length) parts.push(", ");
      parts.push(make("b", "", bytesText(holds)), `${isWhole ? "" : ` of ${bytesText(awake)}`} on ${device}`);
    }
    if (!parts.length) parts.push("size not known yet");
    this.holdsText.replaceChildren(...parts);
    const whole = sum(Object.values(model.estimate));
    const share = whole > 0 ? Math.min(1, sum(Object.values(model.holds)) / whole) : 0;
    this.meterFill.style.width = `${share * 100}%`;
  }
}

const modelViews = new Map();

function showModels(models) {
  const there = new Set(models.map((model) => model.name));
  for (const [name, view] of modelViews) {
    if (there.has(name)) continue;
    view.element.remove();
    modelViews.delete(name);
  }
  for (const model of models) {
    if (!modelViews.has(model.name)) {
      modelViews.set(model.name, new ModelView(model.name));
      byId("models").append(modelViews.get(model.name).element);
    }
    modelViews.get(model.name).show(model);
  }
  byId("no-models").hidden = models.length > 0;
}

// ---- Who waits ---------------------------------------------------------------------------------

function showWaiting() {
  const list = byId("waiting");
  const waiting = state.now ? state.now.waiting : [];
  while (list.children.length > waiting.length) list.lastElementChild.remove();
  waiting.forEach((each, index) => {
    if (!list.children[index]) list.append(make("li", "", make("b", ""), make("span", ""), make("span", "")));
    const [model, time, why] = list.children[index].children;
    say(model, each.model);
    say(time, `for ${spanText(routerNow() - each.since_ms)}`);
    say(why, each.why || "");
  });
  byId("no-waiting").hidden = waiting.length > 0;
}

function showSummary(now) {
  const count = (name) => now.models.filter((model) => model.state === name).length;
  const parts = [`${count("ready")} ready`, `${count("asleep")} asleep`];
  if (count("failed")) parts.push(`${count("failed")} failed`);
  say(byId("summary"), `${now.models.length} models: ${parts.join(", ")}`);
  document.title = `lull: ${parts[0]} of ${now.models.length}`;
}

/** What is not known yet is left out by the router. */
function completed(now) {
  for (const model of now.models) {
    model.holds ??= {};
    model.estimate ??= {};
  }
  for (const device of now.devices) {
    device.by_model ??= {};
    device.foreign_bytes ??= 0;
    device.used_bytes ??= device.foreign_bytes + sum(Object.values(device.by_model));
  }
  return now;
}

function show(given) {
  const now = completed(given);
  for (const name of [...now.models.map((model) => model.name)].sort()) colourIndex(name);
  state.now = now;
  state.receivedAt = performance.now();
  keepSample();
  showSummary(now);
  showDevices(now.devices);
  showModels(now.models);
  showWaiting();
}

// ---- To the router -----------------------------------------------------------------------------

let newsTimer = 0;

function tell(words, isBad) {
  byId("news").replaceChildren(make("p", isBad ? "bad" : "", words));
  clearTimeout(newsTimer);
  newsTimer = setTimeout(() => byId("news").replaceChildren(), isBad ? 10000 : 3500);
}

/** The words of an answer that is no success, whatever shape it has. */
async function failureWords(answer) {
  const text = (await answer.text()).trim();
  try {
    const parsed = JSON.parse(text);
    const inner = parsed.error?.message ?? parsed.error ?? parsed.message;
    if (typeof inner === "string" && inner) return inner;
  } catch { /* then it is a text */ }
  return text.slice(0, 500) || `${answer.status} ${answer.statusText}`;
}

async function send(model, action) {
  const headers = {};
  const token = stored(sessionStorage, "lull-token") ?? memoryToken;
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    const answer = await fetch(`models/${encodeURIComponent(model)}/${action}`, { method: "POST", headers });
    if (answer.ok) {
      tell(`${model}: ${{ load: "is being loaded", sleep: "sleeps", stop: "is stopped", pin: "is pinned", unpin: "may be put away" }[action]}`, false);
    } else if (answer.status === 401) {
      tell(`${model}: ${action} needs the right token`, true);
      askToken();
    } else {
      tell(`${model}: ${await failureWords(answer)}`, true);
    }
  } catch (failure) {
    tell(`${model}: the router does not answer (${failure.message})`, true);
  }
}

let memoryToken = null;  // where the browser keeps nothing

function askToken() {
  byId("token-field").value = "";
  if (!byId("token-dialog").open) byId("token-dialog").showModal();
  byId("token-field").focus();
}

function keepToken() {
  memoryToken = byId("token-field").value.trim() || null;
  store(sessionStorage, "lull-token", memoryToken);
  showToken();
}

function showToken() {
  const has = Boolean(stored(sessionStorage, "lull-token") ?? memoryToken);
  say(byId("token"), has ? "Token ✓" : "Token");
  byId("token").setAttribute("aria-label", has ? "Token: kept for this tab" : "Token: none given");
}

// ---- From the router ---------------------------------------------------------------------------

let source = null;
let retryTimer = 0;
let retryMilliseconds = 1000;

function setLink(name, words) {
  state.live = name === "live";
  byId("link").dataset.state = name;
  say(byId("link-text"), words);
}

function connect() {
  clearTimeout(retryTimer);
  if (source) source.close();
  const mine = new EventSource("events");
  source = mine;
  mine.onmessage = (event) => {
    if (mine !== source) return;
    retryMilliseconds = 1000;
    setLink("live", "live");
    show(JSON.parse(event.data));
  };
  mine.onerror = () => {
    if (mine !== source) return;
    setLink("lost", "reconnecting");
    // The browser tries again by itself only where the connection broke, not after a refusal.
    mine.close();
    retryTimer = setTimeout(connect, retryMilliseconds);
    retryMilliseconds = Math.min(10000, retryMilliseconds * 2);
  };
}

/** A machine that has slept may hold a connection that is dead. */
async function checkLink() {
  if (document.visibilityState !== "visible" || !state.now) return;
  try {
    const now = await (await fetch("state")).json();
    if (now.time_ms - state.now.time_ms > 10000) connect();
    show(now);
  } catch {
    connect();
  }
}

byId("theme").addEventListener("click", () => {
  theme = themes[(themes.indexOf(theme) + 1) % themes.length];
  store(localStorage, "lull-theme", theme);
  showTheme();
});
systemIsDark.addEventListener("change", showTheme);
byId("token").addEventListener("click", askToken);
byId("token-cancel").addEventListener("click", () => byId("token-dialog").close());
byId("token-form").addEventListener("submit", keepToken);
byId("window").addEventListener("click", (event) => {
  const pressed = event.target.closest("button");
  if (!pressed) return;
  state.shownSeconds = Number(pressed.dataset.seconds);
  for (const each of byId("window").children) each.setAttribute("aria-pressed", String(each === pressed));
  for (const view of deviceViews.values()) view.draw();
});
document.addEventListener("visibilitychange", checkLink);
addEventListener("online", connect);
setInterval(() => {
  if (!state.now) return;
  keepSample();
  for (const view of deviceViews.values()) view.draw();
  showWaiting();
}, 1000);

showTheme();
showToken();
connect();
