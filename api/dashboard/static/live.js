// Keeps a page as the server would render it now. Events only ring; the truth is fetched as a page,
// and the parts that differ are put in place. A hidden tab holds no connection.
"use strict";

const main = document.getElementById("main");
const AT_MOST_EVERY_MS = 1000;

let source = null;
let timer = null;
let lastEvent = main.dataset.after;

function parts(page) {
  return page.querySelectorAll("[data-live]");
}

function keepsFocus(part) {
  const focused = document.activeElement;
  return part.contains(focused) && focused.matches("button, input, select");
}

function put(fresh) {
  const part = document.getElementById(fresh.id);
  if (!part || part.innerHTML === fresh.innerHTML || keepsFocus(part)) return;
  const chosen = new Set([...part.querySelectorAll("input:checked")].map((box) => box.value));
  part.replaceChildren(...fresh.childNodes);
  for (const box of part.querySelectorAll("[type=checkbox]")) box.checked = chosen.has(box.value);
}

async function refresh() {
  timer = null;
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (response.redirected || (response.status >= 400 && response.status < 500)) return stop();
  if (!response.ok) throw new Error(`${response.status}`);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  parts(page).forEach(put);
  const now = page.getElementById("main").dataset;
  for (const name of ["stream", "refresh"]) {
    if (!(name in now)) delete main.dataset[name];
  }
  if (!main.dataset.stream) close();
  if (main.dataset.refresh) soon(Number(main.dataset.refresh) * 1000);
}

function soon(wait) {
  timer ??= setTimeout(() => refresh().catch(() => soon(5 * AT_MOST_EVERY_MS)), wait);
}

function ring(event) {
  lastEvent = event.lastEventId;
  soon(AT_MOST_EVERY_MS);
}

// A form that asks: its page is fetched anew while it is being filled in, and the address kept.
function ask(form) {
  let asked = null;
  form.addEventListener("input", (event) => {
    const shown = event.target.parentElement.querySelector("output");
    if (shown) shown.value = `${event.target.value} %`;
    clearTimeout(asked);
    asked = setTimeout(() => answer(form).catch(() => {}), 200);
  });
}

async function answer(form) {
  const fields = new FormData(form);
  history.replaceState(null, "", `${form.action}?${new URLSearchParams(fields)}`);
  await refresh();
}

document.querySelectorAll("[data-ask]").forEach(ask);

function open() {
  if (main.dataset.refresh) soon(Number(main.dataset.refresh) * 1000);
  if (!main.dataset.stream) return;
  source = new EventSource(`${main.dataset.stream}?after=${lastEvent}`);
  for (const type of main.dataset.events.split(" ")) source.addEventListener(type, ring);
}

function close() {
  source?.close();
  source = null;
}

function stop() {
  close();
  clearTimeout(timer);
  timer = null;
}

document.addEventListener("visibilitychange", () => {
  stop();
  if (!document.hidden) {
    soon(0);
    open();
  }
});

if (!document.hidden) open();
